//! The context of one request: headers in, verdict out.

use core::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use super::plugin::{Plugin, with};
use super::{perform, raw};
use crate::base::{Headers, Needs, Outcome, RequestHead, StreamId};
use crate::telemetry::HostFault;

/// What the SDK's dispatcher calls on a request's and its response's headers.
pub(super) struct Request {
    stream: StreamId,
    plugin: Rc<RefCell<Plugin>>,
}

impl Request {
    pub(super) fn new(id: u32, plugin: Rc<RefCell<Plugin>>) -> Self {
        Self { stream: StreamId(id), plugin }
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let action = with(&self.plugin, |plugin| decide(plugin, self.stream, !end_of_stream));
        action.unwrap_or(Err(HostFault::CallbackWithinCallback)).unwrap_or_else(|why| {
            perform::fail(why);
            Action::Pause
        })
    }

    /// Only the response to a request that carries a token of ours is looked at, and its status alone; it always goes
    /// on.
    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        with(&self.plugin, |plugin| {
            if plugin.carries_token(self.stream) {
                let status = raw::header(MapType::HttpResponseHeaders, ":status").ok();
                let status = status.and_then(|status| str::from_utf8(&status).ok()?.parse().ok());
                plugin.handle_response(self.stream, status.unwrap_or_default());
            }
        });
        Action::Continue
    }
}

/// The dispatcher drops a request when the host deletes it: it is over, answered or not.
impl Drop for Request {
    fn drop(&mut self) {
        with(&self.plugin, |plugin| plugin.handle_stream_end(self.stream));
    }
}

/// Decides about the request of the effective context.
///
/// # Errors
/// Why it cannot be decided about.
fn decide(plugin: &mut Plugin, stream: StreamId, has_body: bool) -> Result<Action, HostFault> {
    let head = head(plugin.needs(), has_body).ok_or(HostFault::HeadersUnreadable)?;
    match plugin.handle_request(stream, head)? {
        Some(Outcome::Forward { edits, annotation }) => {
            perform::edit(&edits, annotation.as_deref()).map_err(|_| HostFault::HeaderNotChanged)?;
            Ok(Action::Continue)
        }
        Some(Outcome::Respond { response, annotation }) => {
            perform::respond(&response, &annotation);
            Ok(Action::Pause)
        }
        None => Ok(Action::Pause),
    }
}

fn head(needs: Needs, has_body: bool) -> Option<RequestHead> {
    let headers = Headers::from_pairs(raw::header_pairs(MapType::HttpRequestHeaders).ok()?).ok()?;
    let looked_for = |is_needed: bool, path: &[&str]| if is_needed { property(path) } else { None };
    Some(RequestHead {
        headers,
        route_metadata: looked_for(needs.route_metadata, &ROUTE_METADATA),
        virtual_host_metadata: looked_for(needs.virtual_host_metadata, &VIRTUAL_HOST_METADATA),
        has_body,
        cluster: looked_for(needs.cluster, &CLUSTER_NAME),
        cluster_tls: looked_for(needs.cluster, &CLUSTER_TLS),
        route_name: looked_for(needs.route_name, &ROUTE_NAME),
    })
}

/// A property of the effective context. One that may be there and cannot be seen is empty: nothing meets that.
fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).unwrap_or_else(|_| Some(Vec::new()))
}

const ROUTE_METADATA: [&str; 4] = ["xds", "route_metadata", "filter_metadata", "attache"];
const VIRTUAL_HOST_METADATA: [&str; 4] = ["xds", "virtual_host_metadata", "filter_metadata", "attache"];
const CLUSTER_NAME: [&str; 2] = ["xds", "cluster_name"];
const CLUSTER_TLS: [&str; 5] = ["xds", "cluster_metadata", "filter_metadata", "attache", "tls"];
const ROUTE_NAME: [&str; 2] = ["xds", "route_name"];
