//! What stands on Envoy's own route under `attache`, as route metadata, read once for both halves: what is demanded of
//! requests that come in, and whose token goes on those that go out.
//!
//! Demands only add: all of them must hold together with the table's requirement; alone they are the requirement; they
//! never make a route public. What cannot be read is an error, under which the request is denied.

use std::rc::Rc;

use crate::base::{RequestHead, decode_pairs};
use crate::claims::is_scope_token;

/// The metadata of a request's virtual host and of its route, in this order, where there is some.
#[derive(Clone, Debug, Default)]
pub struct RequestMetadata(Vec<RouteMetadata>);

/// What the metadata of one route says, or of one virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMetadata {
    /// What it demands of requests that come in; `None` where it says nothing but `client`.
    pub demand: Result<Option<MetadataDemand>, RouteMetadataError>,
    /// Whose token goes on requests that go out.
    pub client: MetadataClient,
}

/// What a route's metadata demands, as written: issuers by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataDemand {
    /// `issuers`; `None` when the key is absent.
    pub issuers: Option<Vec<Rc<str>>>,
    /// `scopes`: all of them.
    pub scopes: Vec<Rc<str>>,
    /// `any_scope`: one of them.
    pub any_scope: Vec<Rc<str>>,
    /// `requirements`: all of them, by their names in the configuration.
    pub requirements: Vec<Rc<str>>,
}

/// The client that a route's metadata names, whose token goes on its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MetadataClient {
    /// None.
    #[default]
    None,
    /// This one.
    Named(Rc<str>),
    /// It cannot be read.
    Malformed,
}

/// Why a route's metadata is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteMetadataError {
    /// It is there, and the configuration does not say what it counts for.
    #[error("the route carries metadata `attache`: configure `route_metadata: read` to apply it")]
    NotConfigured,
    /// It is no map with text keys.
    #[error("the route metadata `attache` is not a map")]
    NotAMap,
    /// It has a key other than `scopes`, `any_scope`, `issuers`, `requirements` and `client`.
    #[error(
        "the route metadata `attache` has an unknown key; known are scopes, any_scope, issuers, requirements, client"
    )]
    UnknownKey,
    /// A value is neither a text nor a list of texts, is empty, or holds what no scope may hold.
    #[error("the route metadata `attache.{key}` is not a list of scopes or names")]
    BadList {
        /// The key.
        key: &'static str,
    },
    /// There is none of `scopes`, `any_scope` and `requirements`.
    #[error("the route metadata `attache` names no scope and no requirement")]
    NoScope,
    /// A requirement is not configured.
    #[error("the route metadata `attache.requirements` does not name configured requirements")]
    BadRequirements,
    /// An issuer is not configured, or `issuers` is missing where several are.
    #[error("the route metadata `attache.issuers` does not name configured issuers")]
    BadIssuers,
}

impl RequestMetadata {
    /// Reads what the host has handed over.
    pub fn read(head: &RequestHead) -> Self {
        let written = [&head.virtual_host_metadata, &head.route_metadata];
        // Most routes have none.
        if written.iter().all(|written| written.is_none()) {
            return Self::default();
        }
        Self(written.into_iter().flatten().map(|bytes| RouteMetadata::parse(bytes)).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is demanded of a request that comes in: by the virtual host, and by the route.
    pub fn demands(&self) -> impl Iterator<Item = Result<&MetadataDemand, RouteMetadataError>> {
        let demands = self.0.iter().map(|metadata| metadata.demand.as_ref().map_err(|error| *error));
        demands.filter_map(|demand| demand.map(Option::as_ref).transpose())
    }

    /// The client whose token goes on a request that goes out: the route's word, or else the virtual host's.
    pub fn client(&self) -> MetadataClient {
        let mut clients = self.0.iter().rev().map(|metadata| &metadata.client);
        clients.find(|client| **client != MetadataClient::None).cloned().unwrap_or_default()
    }
}

impl RouteMetadata {
    /// Reads the host's encoding of the metadata namespace: pairs, whose values are texts or lists in the same
    /// encoding; at most 64 scopes, issuers or requirements in one list.
    pub fn parse(bytes: &[u8]) -> Self {
        let Ok(pairs) = decode_pairs(bytes) else {
            return Self { demand: Err(RouteMetadataError::NotAMap), client: MetadataClient::Malformed };
        };
        Self { demand: MetadataDemand::read(pairs.clone()), client: MetadataClient::read(pairs) }
    }
}

impl MetadataDemand {
    fn read<'a>(
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Option<Self>, RouteMetadataError> {
        let mut demand = Self::default();
        let (mut is_ours, mut names_client) = (false, false);
        for (key, value) in pairs {
            match key {
                b"scopes" => demand.scopes = list("scopes", value)?,
                b"any_scope" => demand.any_scope = list("any_scope", value)?,
                b"issuers" => demand.issuers = Some(list("issuers", value)?),
                b"requirements" => demand.requirements = list("requirements", value)?,
                b"client" => {
                    names_client = true;
                    continue;
                }
                _ => return Err(RouteMetadataError::UnknownKey),
            }
            is_ours = true;
        }
        if names_client && !is_ours {
            return Ok(None);
        }
        if demand.scopes.is_empty() && demand.any_scope.is_empty() && demand.requirements.is_empty() {
            return Err(RouteMetadataError::NoScope);
        }
        Ok(Some(demand))
    }
}

impl MetadataClient {
    /// Other keys are not for this half, whatever they are.
    fn read<'a>(mut pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let Some((_, name)) = pairs.find(|(key, _)| *key == b"client") else { return Self::None };
        match str::from_utf8(name) {
            Ok(name) if !name.is_empty() => Self::Named(name.into()),
            Ok(_) | Err(_) => Self::Malformed,
        }
    }
}

/// A text, split at spaces, or a list of texts. The two cannot be confused: a list's encoding begins with its length in
/// four bytes of which one is zero, and no text that passes as a scope holds a zero.
fn list(key: &'static str, value: &[u8]) -> Result<Vec<Rc<str>>, RouteMetadataError> {
    let bad = RouteMetadataError::BadList { key };
    let texts: Vec<&[u8]> = if value.contains(&0) {
        let items = decode_pairs(value).map_err(|_| bad)?;
        if items.clone().any(|(_, padding)| !padding.is_empty()) {
            return Err(bad);
        }
        items.map(|(item, _)| item).collect()
    } else {
        value.split(|byte| *byte == b' ').filter(|text| !text.is_empty()).collect()
    };
    if texts.is_empty() || texts.len() > MAX_LIST {
        return Err(bad);
    }
    let scope = |text: &[u8]| str::from_utf8(text).ok().filter(|text| is_scope_token(text)).map(Rc::from);
    texts.into_iter().map(|text| scope(text).ok_or(bad)).collect()
}

/// As many as one route of the table may name.
const MAX_LIST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    type Pair<'a> = (&'a [u8], &'a [u8]);

    fn word(n: usize) -> [u8; 4] {
        u32::try_from(n).unwrap().to_le_bytes()
    }

    fn pairs(items: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = word(items.len()).to_vec();
        for (key, value) in items {
            bytes.extend(word(key.len()));
            bytes.extend(word(value.len()));
        }
        for (key, value) in items {
            bytes.extend_from_slice(key);
            bytes.push(0);
            bytes.extend_from_slice(value);
            bytes.push(0);
        }
        bytes
    }

    fn demand(bytes: &[u8]) -> Result<Option<MetadataDemand>, RouteMetadataError> {
        RouteMetadata::parse(bytes).demand
    }

    fn of(key: &str, value: &[u8]) -> Result<MetadataDemand, RouteMetadataError> {
        demand(&pairs(&[(key.as_bytes(), value)])).map(Option::unwrap_or_default)
    }

    fn scopes(demand: Result<MetadataDemand, RouteMetadataError>) -> Vec<String> {
        demand.unwrap().scopes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn metadata_names_a_client_or_says_nothing_or_is_malformed() {
        let read = |bytes: &[u8]| {
            let head = RequestHead { route_metadata: Some(bytes.to_vec()), ..RequestHead::default() };
            RequestMetadata::read(&head).client()
        };
        let scopes: Pair<'_> = (b"scopes", b"a");
        let billing: Pair<'_> = (b"client", b"billing");
        assert_eq!(RequestMetadata::default().client(), MetadataClient::None);
        assert_eq!(read(&pairs(&[scopes])), MetadataClient::None);
        assert_eq!(read(&pairs(&[scopes, billing])), MetadataClient::Named("billing".into()));
        assert_eq!(read(&pairs(&[(b"colour", b"red"), billing])), MetadataClient::Named("billing".into()));
        assert_eq!(read(&pairs(&[(b"client", b"")])), MetadataClient::Malformed);
        assert_eq!(read(b"client"), MetadataClient::Malformed);
    }

    #[test]
    fn the_routes_client_comes_before_the_virtual_hosts() {
        let of = |route: &[Pair<'_>], virtual_host: &[Pair<'_>]| {
            let (route, virtual_host) = (Some(pairs(route)), Some(pairs(virtual_host)));
            let head = RequestHead {
                route_metadata: route,
                virtual_host_metadata: virtual_host,
                ..RequestHead::default()
            };
            RequestMetadata::read(&head).client()
        };
        let a: Pair<'_> = (b"client", b"a");
        let b: Pair<'_> = (b"client", b"b");
        assert_eq!(of(&[a], &[b]), MetadataClient::Named("a".into()));
        assert_eq!(of(&[(b"scopes", b"s")], &[b]), MetadataClient::Named("b".into()));
        assert_eq!(of(&[(b"client", b"")], &[b]), MetadataClient::Malformed);
    }

    #[test]
    fn scopes_are_a_text_or_a_list() {
        assert_eq!(scopes(of("scopes", b"a b")), ["a", "b"]);
        assert_eq!(scopes(of("scopes", &pairs(&[(b"a", b""), (b"b:c", b"")]))), ["a", "b:c"]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_never_an_empty_requirement() {
        let bad = Err(RouteMetadataError::BadList { key: "scopes" });
        for value in [
            &b""[..],
            b" ",
            &[0; 4],
            &5f64.to_le_bytes(),
            &[1],
            b"a\"b",
            &pairs(&[(b"a", b"b")]),
            &pairs(&[(b"", b"")]),
        ] {
            assert_eq!(of("scopes", value), bad, "{value:?}");
        }
        assert_eq!(of("scope", b"a"), Err(RouteMetadataError::UnknownKey));
        assert_eq!(of("issuers", b"corp"), Err(RouteMetadataError::NoScope));
        assert_eq!(demand(b""), Err(RouteMetadataError::NoScope));
        assert_eq!(demand(b"scopes"), Err(RouteMetadataError::NotAMap));
    }

    #[test]
    fn what_is_about_requests_that_go_out_demands_nothing_of_those_that_come_in() {
        assert_eq!(demand(&pairs(&[(b"client", b"billing")])), Ok(None));
        let both = demand(&pairs(&[(b"client", b"billing"), (b"scopes", b"a")])).unwrap().unwrap();
        assert_eq!(both.scopes, ["a".into()]);
        let bad = demand(&pairs(&[(b"client", b"billing"), (b"issuers", b"corp")]));
        assert_eq!(bad, Err(RouteMetadataError::NoScope));
    }

    #[test]
    fn a_list_is_bounded() {
        let item: (&[u8], &[u8]) = (b"a", b"");
        assert!(of("scopes", &pairs(&[item; MAX_LIST])).is_ok());
        assert!(of("scopes", &pairs(&[item; MAX_LIST + 1])).is_err());
    }
}
