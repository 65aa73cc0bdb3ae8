//! What one request is entitled to, by where it goes: a token goes only to the clusters and authorities that are
//! configured for it, and only over TLS, or where the operator has said that it need not be.

use super::denial::EgressDenial;
use super::destination::{Destination, Match, Target};
use super::ids::ClientId;
use super::settings::{Position, Settings, Unmatched};
use crate::base::RequestHead;
use crate::policy::{MetadataClient, RequestPath};

/// What a request is entitled to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entitlement<'a> {
    /// It is a call of our own: it is not ours to look at.
    OwnCall,
    /// Nothing: it goes on as it is.
    Nothing,
    /// A token of this destination's client.
    Token(&'a Destination),
}

/// Holds a request against the configuration.
///
/// # Errors
/// Why it must not go on at all, and the client that it was to be for, if that is known.
pub(super) fn entitlement<'a>(
    settings: &'a Settings,
    head: &RequestHead,
    client: &MetadataClient,
) -> Result<Entitlement<'a>, (Option<ClientId>, EgressDenial)> {
    let field = |name| head.headers.first(name).unwrap_or_default();
    let cluster =
        head.cluster.as_deref().and_then(|cluster| str::from_utf8(cluster).ok()).unwrap_or_default();
    if settings.position == Position::Upstream && settings.own_clusters.contains(cluster) {
        return Ok(Entitlement::OwnCall);
    }
    let path = RequestPath::parse(field(":path")).ok();
    let to = Target { authority: field(":authority"), path, method: field(":method") };
    let (found, client) = match client {
        _ if !settings.reads_route_metadata => {
            (settings.destinations.find(cluster, head.route_name.as_deref(), &to), None)
        }
        MetadataClient::Malformed => return Err((None, EgressDenial::ClientUnknown)),
        MetadataClient::Named(name) => {
            let client = settings.names.get(name).copied().ok_or((None, EgressDenial::ClientUnknown))?;
            (settings.destinations.of_client(client, cluster, &to), Some(client))
        }
        MetadataClient::None => (settings.destinations.find(cluster, head.route_name.as_deref(), &to), None),
    };
    let destination = match (found, settings.unmatched) {
        (Match::Destination(destination), _) => destination,
        (Match::AmbiguousPath, _) => return Err((client, EgressDenial::PathAmbiguous)),
        (Match::BadAuthority, _) => return Err((client, EgressDenial::Authority)),
        (Match::BadMethod, _) => return Err((client, EgressDenial::Method)),
        (Match::None, _) if client.is_some() => return Err((client, EgressDenial::NotAllowed)),
        (Match::None, Unmatched::Pass) => return Ok(Entitlement::Nothing),
        (Match::None, Unmatched::Deny) => return Err((None, EgressDenial::Unmatched)),
    };
    // Only what a token is put on: the filter has no say in any other request.
    if settings.overrides.found_in(&head.headers).is_some() {
        return Err((Some(destination.client), EgressDenial::Overridden));
    }
    let is_asserted = head.cluster_tls.as_deref() == Some(ASSERTED);
    if !is_asserted && !settings.plaintext_clusters.contains(cluster) {
        return Err((Some(destination.client), EgressDenial::Plaintext));
    }
    Ok(Entitlement::Token(destination))
}

/// What a cluster's metadata says under `attache`, `tls` when its operator asserts that connections to it use TLS.
const ASSERTED: &[u8] = b"asserted";
