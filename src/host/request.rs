//! The context of one request: headers in, and its body where that is asked for; verdict out.

use core::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};

use super::plugin::{Plugin, with};
use super::{dispatcher, perform, raw};
use crate::base::{Headers, Needs, Outcome, RequestBody, RequestHead, StreamId};
use crate::telemetry::HostFault;

/// What the SDK's dispatcher calls on a request's and its response's headers.
pub(super) struct Request {
    stream: StreamId,
    plugin: Rc<RefCell<Plugin>>,
    /// How much of the body is read, while that is waited for.
    awaited: Option<usize>,
}

impl Request {
    pub(super) fn new(id: u32, plugin: Rc<RefCell<Plugin>>) -> Self {
        Self { stream: StreamId(id), plugin, awaited: None }
    }

    /// Decides about the request of the effective context, whose headers have come, or its body as well.
    fn decide(&mut self, has_body: bool, body: Option<RequestBody>) -> Action {
        let stream = self.stream;
        let decided = with(&self.plugin, |plugin| {
            let head = head(plugin.needs(), has_body, body).ok_or(HostFault::HeadersUnreadable)?;
            match plugin.handle_request(stream, head)? {
                Some(Outcome::Forward { edits, annotation, facts, audit }) => {
                    plugin.record(&audit);
                    perform::edit(&edits, annotation.as_deref(), &facts)?;
                    dispatcher::let_go(stream.0);
                    Ok((Action::Continue, None))
                }
                Some(Outcome::Respond { response, annotation, facts, audit }) => {
                    plugin.record(&audit);
                    perform::respond(&response, &annotation, &facts);
                    Ok((Action::Pause, None))
                }
                Some(Outcome::AwaitBody { most }) => {
                    dispatcher::hold(stream.0);
                    Ok((Action::Pause, Some(most)))
                }
                None => Ok((Action::Pause, None)),
            }
        });
        match decided.unwrap_or(Err(HostFault::CallbackWithinCallback)) {
            Ok((action, awaited)) => {
                self.awaited = awaited;
                action
            }
            Err(why) => {
                self.awaited = None;
                perform::fail(why);
                Action::Pause
            }
        }
    }

    /// More of the body has come, and perhaps its end.
    fn take_body(&mut self, is_too_large: impl FnOnce(usize) -> bool, is_end: bool) -> Action {
        // What is decided about already goes on when the filter says so.
        let Some(most) = self.awaited else { return Action::Pause };
        with(&self.plugin, Plugin::note_body);
        let body = if is_too_large(most) {
            RequestBody::TooLarge
        } else if !is_end {
            return Action::Pause;
        } else {
            match raw::request_body(most.saturating_add(1)) {
                Ok(body) if body.len() <= most => RequestBody::Whole(body),
                Ok(_) => RequestBody::TooLarge,
                Err(_) => {
                    self.awaited = None;
                    perform::fail(HostFault::BodyUnreadable);
                    return Action::Pause;
                }
            }
        };
        self.decide(true, Some(body))
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.decide(!end_of_stream, None)
    }

    /// Only bodies that are waited for come here.
    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        self.take_body(|most| body_size > most, end_of_stream)
    }

    /// They end the body.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.take_body(|_| false, true)
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
        if self.awaited.is_some() {
            with(&self.plugin, Plugin::note_missing_body);
        }
        dispatcher::let_go(self.stream.0);
        with(&self.plugin, |plugin| plugin.handle_stream_end(self.stream));
    }
}

fn head(needs: Needs, has_body: bool, body: Option<RequestBody>) -> Option<RequestHead> {
    let headers = Headers::from_pairs(raw::header_pairs(MapType::HttpRequestHeaders).ok()?).ok()?;
    let looked_for = |is_needed: bool, path: &[&str]| if is_needed { property(path) } else { None };
    Some(RequestHead {
        headers,
        route_metadata: looked_for(needs.route_metadata, &ROUTE_METADATA),
        virtual_host_metadata: looked_for(needs.virtual_host_metadata, &VIRTUAL_HOST_METADATA),
        has_body,
        body,
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
