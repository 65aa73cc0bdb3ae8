//! When streams end: `inbound.streams`, and `streams` of a route.

use super::reader::{Fields, Node};
use crate::inbound::{StreamSettings, StreamsBeyond};
use crate::policy::StreamEnd;

/// `inbound.streams`: the end of streams on routes that do not say, and the bounds of those that end with their token.
pub(super) fn bounds(node: &Node<'_>) -> Option<(StreamEnd, StreamSettings)> {
    let fields = node.fields(&["end", "max", "beyond"])?;
    let default = default_bounds();
    let end = end(&fields, StreamEnd::Never);
    let max = fields.or("max", default.max, |node| node.integer(1, 100_000));
    let beyond = fields.or("beyond", default.beyond, |node| {
        node.word(&[("deny", StreamsBeyond::Deny), ("forward", StreamsBeyond::Forward)])
    });
    Some((end?, StreamSettings { max: max?, beyond: beyond? }))
}

/// `streams` of a route, or what holds where it does not say.
pub(super) fn of_route(
    route: &Fields<'_>,
    default: StreamEnd,
    has_place: impl FnOnce(&Node<'_>) -> Option<()>,
) -> Option<StreamEnd> {
    route.or("streams", default, |node| {
        has_place(node)?;
        end(&node.fields(&["end"])?, default)
    })
}

pub(super) const fn default_bounds() -> StreamSettings {
    StreamSettings { max: 16_384, beyond: StreamsBeyond::Deny }
}

fn end(fields: &Fields<'_>, default: StreamEnd) -> Option<StreamEnd> {
    fields.or("end", default, |node| {
        node.word(&[("never", StreamEnd::Never), ("at_expiry", StreamEnd::AtExpiry)])
    })
}
