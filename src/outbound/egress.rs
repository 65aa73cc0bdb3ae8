//! What one request is entitled to, by where it goes: a token goes only to the clusters and authorities that are configured for it,
//! and only over a way that somebody vouches for.

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
    let authority = field(":authority");
    let metadata = if settings.reads_route_metadata { head.route_metadata.as_deref() } else { None };
    let destination = match MetadataClient::read(metadata) {
        MetadataClient::Malformed => return Err((None, Refusal::ClientUnknown)),
        MetadataClient::Named(name) => {
            let client = settings.names.get(&name).copied().ok_or((None, Refusal::ClientUnknown))?;
            let destination = settings.destinations.of_client(client, cluster, authority);
            destination.ok_or((Some(client), Refusal::NotAllowed))?
        }
        MetadataClient::None => {
            let path = RequestPath::parse(field(":path")).ok();
            let target = Target { authority, path, method: field(":method") };
            match settings.destinations.find(cluster, head.route_name.as_deref(), &target) {
                Match::Destination(destination) => destination,
                Match::AmbiguousPath => return Err((None, Refusal::PathAmbiguous)),
                Match::None => {
                    return match settings.unmatched {
                        Unmatched::Pass => Ok(Entitlement::Nothing),
                        Unmatched::Refuse => Err((None, Refusal::Unmatched)),
                    };
                }
            }
        }
    };
    let is_asserted = head.cluster_tls.as_deref() == Some(ASSERTED);
    if !is_asserted && !settings.plaintext_clusters.contains(cluster) {
        return Err((Some(destination.client), Refusal::Plaintext));
    }
    Ok(Entitlement::Token(destination))
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
