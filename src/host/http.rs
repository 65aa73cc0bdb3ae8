//! One request: headers in, verdict out.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::abi::{self, Map, Status};
use super::perform;
use super::root::Shared;
use crate::base::{Headers, RequestHead, StreamId};
use crate::filter::Outcome;

/// A request that is in the filter's hands.
pub(super) struct Request {
    id: u32,
    shared: Rc<RefCell<Shared>>,
    waits: bool,
}

impl Request {
    pub(super) fn new(id: u32, shared: Rc<RefCell<Shared>>) -> Self {
        Self { id, shared, waits: false }
    }

    fn decide(&mut self) -> Result<Action, &'static str> {
        let mut shared = self.shared.try_borrow_mut().map_err(|_| "the filter is entered twice")?;
        let head = head(shared.reads_route_metadata()).ok_or("the request's headers cannot be read")?;
        let (outcome, effects) =
            shared.request(StreamId(self.id), head).ok_or("the filter is not configured")?;
        // Nothing that a request causes needs the root context: calls are made on the tick.
        shared.perform_here(effects);
        drop(shared);
        match outcome {
            Outcome::Forward { edits, annotation } => {
                perform::edit(&edits, &annotation).map_err(|_| "a request header cannot be changed")?;
                Ok(Action::Continue)
            }
            Outcome::Respond { response, annotation } => {
                perform::respond(&response, &annotation);
                Ok(Action::Pause)
            }
            Outcome::Wait => {
                self.waits = true;
                Ok(Action::Pause)
            }
        }
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        self.decide().unwrap_or_else(|why| {
            perform::fail(why);
            Action::Pause
        })
    }
}

impl Drop for Request {
    /// The SDK drops a context when the host deletes it: the request is over, answered or not.
    fn drop(&mut self) {
        if self.waits
            && let Ok(mut shared) = self.shared.try_borrow_mut()
        {
            shared.end(StreamId(self.id));
        }
    }
}

fn head(reads_route_metadata: bool) -> Option<RequestHead> {
    let headers = Headers::from_pairs(abi::header_pairs(Map::Request).ok()?).ok()?;
    let route_metadata = if reads_route_metadata {
        match abi::property(ROUTE_METADATA) {
            Ok(bytes) => Some(bytes),
            Err(Status::NOT_FOUND) => None,
            // It may be there and we cannot see it: empty bytes are no metadata that anyone could meet.
            Err(_) => Some(Vec::new()),
        }
    } else {
        None
    };
    Some(RequestHead { headers, route_metadata })
}

const ROUTE_METADATA: &str = "xds\0route_metadata\0filter_metadata\0attache";
