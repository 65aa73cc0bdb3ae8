use super::decision::WaitReason;
use crate::base::{RequestHead, Timestamp};
use crate::policy::{RequestMetadata, RouteId};

/// A request to decide about, for the first time or after it has waited.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its headers, and what Envoy says of its route.
    pub head: &'a RequestHead,
    /// What its metadata says.
    pub metadata: &'a RequestMetadata,
    /// When it came: keys that were fetched later than that settle what it waits for.
    pub arrived: Timestamp,
    /// What it has waited for already.
    pub waited_for: Option<WaitReason>,
    /// The route that it met before it waited: its body is not there any more.
    pub route: Option<RouteId>,
}
