//! One request: headers in, verdict out.

use super::abi::{self, Map, Status};
use super::perform;
use super::root::Root;
use crate::base::{Headers, RequestHead, StreamId};
use crate::filter::Outcome;

/// What the host is to do with a request that it has shown us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Hand it on.
    Continue,
    /// Keep it: it has been answered, or will be, or will be let go on.
    Pause,
}

/// Decides about the request of the current context.
pub(super) fn decide(root: &mut Root, stream: StreamId) -> Action {
    try_decide(root, stream).unwrap_or_else(|why| {
        perform::fail(why);
        Action::Pause
    })
}

fn try_decide(root: &mut Root, stream: StreamId) -> Result<Action, &'static str> {
    let head = head(root.reads_route_metadata()).ok_or("the request's headers cannot be read")?;
    match root.request(stream, head).ok_or("the filter is not configured")? {
        Outcome::Forward { edits, annotation } => {
            perform::edit(&edits, annotation.as_deref()).map_err(|_| "a request header cannot be changed")?;
            Ok(Action::Continue)
        }
        Outcome::Respond { response, annotation } => {
            perform::respond(&response, &annotation);
            Ok(Action::Pause)
        }
        Outcome::Wait => Ok(Action::Pause),
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
