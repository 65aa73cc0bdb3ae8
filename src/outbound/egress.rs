//! What one request is entitled to, by where it goes: a token goes only to the clusters and authorities that are configured for it,
//! and only over TLS, or where the operator has said that it need not be.

use std::rc::Rc;

use super::destination::{Destination, Match, Target};
use super::refusal::Refusal;
use super::settings::{Outbound, Position, Unmatched};
use crate::base::{RequestHead, decode_pairs};
use crate::policy::RequestPath;

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

/// What a route's metadata says about the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataClient {
    /// Nothing.
    None,
    /// This one.
    Named(Rc<str>),
    /// It cannot be read.
    Malformed,
}

impl MetadataClient {
    /// Reads the host's encoding of the metadata namespace; keys of the inbound half are passed over.
    pub fn read(metadata: Option<&[u8]>) -> Self {
        let Some(bytes) = metadata else { return Self::None };
        let Ok(mut pairs) = decode_pairs(bytes) else { return Self::Malformed };
        let Some((_, name)) = pairs.find(|(key, _)| *key == b"client") else { return Self::None };
        match str::from_utf8(name) {
            Ok(name) if !name.is_empty() => Self::Named(name.into()),
            Ok(_) | Err(_) => Self::Malformed,
        }
    }
}

/// Holds a request against the configuration.
///
/// # Errors
/// Why it must not go on at all, and the client that it was to be for, if that is known.
pub(super) fn entitlement<'a>(
    settings: &'a Outbound,
    head: &RequestHead,
) -> Result<Entitlement<'a>, (Option<usize>, Refusal)> {
    let field = |name| head.headers.first(name).unwrap_or_default();
    let cluster =
        head.cluster.as_deref().and_then(|cluster| str::from_utf8(cluster).ok()).unwrap_or_default();
    if settings.position == Position::Upstream && settings.own_clusters.contains(cluster) {
        return Ok(Entitlement::OwnCall);
    }
    let path = RequestPath::parse(field(":path")).ok();
    let to = Target { authority: field(":authority"), path, method: field(":method") };
    let (found, client) = match named_client(settings, head) {
        MetadataClient::Malformed => return Err((None, Refusal::ClientUnknown)),
        MetadataClient::Named(name) => {
            let client = settings.names.get(&name).copied().ok_or((None, Refusal::ClientUnknown))?;
            (settings.destinations.of_client(client, cluster, &to), Some(client))
        }
        MetadataClient::None => (settings.destinations.find(cluster, head.route_name.as_deref(), &to), None),
    };
    let destination = match (found, settings.unmatched) {
        (Match::Destination(destination), _) => destination,
        (Match::AmbiguousPath, _) => return Err((client, Refusal::PathAmbiguous)),
        (Match::BadAuthority, _) => return Err((client, Refusal::Authority)),
        (Match::BadMethod, _) => return Err((client, Refusal::Method)),
        (Match::None, _) if client.is_some() => return Err((client, Refusal::NotAllowed)),
        (Match::None, Unmatched::Pass) => return Ok(Entitlement::Nothing),
        (Match::None, Unmatched::Deny) => return Err((None, Refusal::Unmatched)),
    };
    // Only what a token is put on: the filter has no say in any other request.
    if settings.overrides.found_in(&head.headers).is_some() {
        return Err((Some(destination.client), Refusal::Overridden));
    }
    let is_asserted = head.cluster_tls.as_deref() == Some(ASSERTED);
    if !is_asserted && !settings.plaintext_clusters.contains(cluster) {
        return Err((Some(destination.client), Refusal::Plaintext));
    }
    Ok(Entitlement::Token(destination))
}

/// The client that Envoy's route names, or else its virtual host.
fn named_client(settings: &Outbound, head: &RequestHead) -> MetadataClient {
    if !settings.reads_route_metadata {
        return MetadataClient::None;
    }
    match MetadataClient::read(head.route_metadata.as_deref()) {
        MetadataClient::None => MetadataClient::read(head.virtual_host_metadata.as_deref()),
        named @ (MetadataClient::Named(_) | MetadataClient::Malformed) => named,
    }
}

/// What a cluster's metadata says under `attache`, `tls` when its operator asserts that connections to it use TLS.
const ASSERTED: &[u8] = b"asserted";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::encode_pairs;

    #[test]
    fn metadata_names_a_client_or_says_nothing_or_is_malformed() {
        let read = |pairs: &[(&str, &str)]| MetadataClient::read(Some(&encode_pairs(pairs.iter().copied())));
        assert_eq!(MetadataClient::read(None), MetadataClient::None);
        assert_eq!(read(&[("scopes", "a")]), MetadataClient::None);
        assert_eq!(read(&[("scopes", "a"), ("client", "billing")]), MetadataClient::Named("billing".into()));
        assert_eq!(read(&[("client", "")]), MetadataClient::Malformed);
        assert_eq!(MetadataClient::read(Some(b"client")), MetadataClient::Malformed);
    }
}
