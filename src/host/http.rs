//! One request: headers in, verdict out.

use super::abi::{self, Map, Status};
use super::perform;
use super::root::Root;
use crate::base::{Headers, Needs, RequestHead, StreamId};
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
    let head = head(root.needs()).ok_or("the request's headers cannot be read")?;
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

fn head(needs: Needs) -> Option<RequestHead> {
    let headers = Headers::from_pairs(abi::header_pairs(Map::Request).ok()?).ok()?;
    let looked_for = |is_needed: bool, path| if is_needed { property(path) } else { None };
    Some(RequestHead {
        headers,
        route_metadata: looked_for(needs.route_metadata, ROUTE_METADATA),
        cluster: looked_for(needs.cluster, CLUSTER_NAME),
        cluster_tls: looked_for(needs.cluster, CLUSTER_TLS),
        route_name: looked_for(needs.route_name, ROUTE_NAME),
    })
}

fn property(path: &str) -> Option<Vec<u8>> {
    match abi::property(path) {
        Ok(bytes) => Some(bytes),
        Err(Status::NOT_FOUND) => None,
        // It may be there and we cannot see it: empty bytes are nothing that anyone could meet.
        Err(_) => Some(Vec::new()),
    }
}

/// Tells of the status of the response of the current context, if it is one that matters.
pub(super) fn tell_response(root: &mut Root, stream: StreamId) {
    if root.carries_token(stream) {
        let status = abi::header(Map::Response, ":status").ok();
        let status = status.and_then(|status| str::from_utf8(&status).ok()?.parse().ok());
        root.response(stream, status.unwrap_or_default());
    }
}

const ROUTE_METADATA: &str = "xds\0route_metadata\0filter_metadata\0attache";
const CLUSTER_NAME: &str = "xds\0cluster_name";
const CLUSTER_TLS: &str = "xds\0cluster_metadata\0filter_metadata\0attache\0tls";
const ROUTE_NAME: &str = "xds\0route_name";
