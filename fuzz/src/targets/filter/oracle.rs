//! What must hold of a request that is forwarded: who may, and whose token it carries.

use core::time::Duration;

use attache::base::{Edit, RequestHead};
use attache::jose::Algorithm;

use super::document::{ADMIN, CORP, EXCHANGED_HEADER, PARTNER, READ};
use super::servers::IssuedToken;
use super::tokens::Token;
use super::world::World;

/// A request, with what the oracle has to know of it.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) head: RequestHead,
    /// The callers' tokens in it, wherever they are.
    pub(super) tokens: Vec<usize>,
    pub(super) authority: &'static str,
    pub(super) cluster: &'static str,
    pub(super) is_tls: bool,
    pub(super) metadata: Metadata,
    /// The earliest and the latest time, in seconds, at which it may have been decided about.
    pub(super) earliest: u64,
    pub(super) latest: u64,
    /// When its thread had looked at the age of its keys last before it came, on the clock that is never set.
    pub(super) keys_as_of: Duration,
    /// When it came, and when its second wait ends at the latest, on the clock that is never set.
    pub(super) since: Duration,
    pub(super) second_deadline: Option<Duration>,
}

/// What the route's metadata demands beside the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metadata {
    Nothing,
    AdminOfCorp,
    Partner,
    /// Any bytes: no more is known than that it only adds.
    Unknown,
}

impl World {
    /// Holds a request that is forwarded with these edits against the rules.
    pub(super) fn check_forward(&self, asked: &Asked, edits: &[Edit]) {
        if self.shape.has_inbound {
            self.check_permit(asked);
        }
        for edit in edits {
            if let Edit::Set(name, value) = edit
                && &**name == SUBJECT_HEADER
            {
                let subject =
                    value.strip_prefix('s').and_then(|number| number.parse().ok()).expect("a subject");
                assert!(asked.tokens.contains(&subject), "another caller's claims");
            }
        }
        for name in ["authorization", EXCHANGED_HEADER] {
            for value in after(&asked.head, edits, name) {
                if let Some(token) = IssuedToken::find(&value) {
                    self.check_token(asked, token, name);
                }
            }
        }
    }

    fn check_permit(&self, asked: &Asked) {
        let path = asked.head.headers.first(":path").unwrap_or_default();
        let path = percent_decoded(path.split(|byte| *byte == b'?').next().unwrap());
        // A slash at the end may make another path, which no rule here allows, or none.
        let path = path.strip_suffix(b"/").unwrap_or(&path);
        let is_trial = path == b"/trial" || path.starts_with(b"/trial/");
        let has = |issuers: &[&str], scope: &str| {
            let mut tokens = asked.tokens.iter().map(|token| &self.tokens.all[*token]);
            tokens.any(|token| {
                issuers.contains(&token.issuer) && has_scope(token, scope) && self.may_count(token, asked)
            })
        };
        // Metadata only adds.
        let also = match asked.metadata {
            Metadata::Nothing | Metadata::Unknown => true,
            Metadata::AdminOfCorp => has(&[CORP], ADMIN),
            Metadata::Partner => has(&[PARTNER], ""),
        };
        let may = match path {
            b"/orders" => has(&[CORP], READ),
            b"/admin" => has(&[CORP], ADMIN),
            b"/any" => has(&[CORP, PARTNER], ""),
            b"/partner" => has(&[PARTNER], ""),
            b"/healthz" => true,
            _ if is_trial => true,
            // `default: deny`, in whose place a demand of the metadata stands.
            _ => match asked.metadata {
                Metadata::Nothing => false,
                Metadata::Unknown => has(&[CORP, PARTNER], ""),
                Metadata::AdminOfCorp | Metadata::Partner => true,
            },
        };
        let path = String::from_utf8_lossy(path);
        let tokens: Vec<_> =
            asked.tokens.iter().map(|token| self.describe(&self.tokens.all[*token], asked)).collect();
        assert!(
            may && (also || is_trial),
            "{path} is forwarded with {tokens:?}, metadata: {:?}",
            asked.metadata
        );
    }

    fn describe(&self, token: &Token, asked: &Asked) -> String {
        let Token { key, issuer, scopes, .. } = token;
        let since_served = self.servers.since_served(key, asked.keys_as_of);
        format!("key {key}, served {since_served:?} ago; {issuer}; {scopes:?}")
    }

    /// Whether a token may count: it is one, in its time, and its key is one that its issuer has served lately.
    fn may_count(&self, token: &Token, asked: &Asked) -> bool {
        let is_allowed = !self.shape.is_strict || token.issuer != CORP || token.algorithm != Algorithm::EdDsa;
        let since_served = self.servers.since_served(token.key, asked.keys_as_of);
        let is_current = since_served.is_some_and(|since| since <= WITHDRAWN_AFTER || self.clock_was_set);
        let is_in_time =
            token.expiry + CLOCK_SKEW > asked.earliest && token.not_before <= asked.latest + CLOCK_SKEW;
        token.is_good && is_allowed && is_current && is_in_time
    }

    /// A token of ours goes where it belongs, over TLS, while it lasts; that of a caller with this caller's request only.
    fn check_token(&self, asked: &Asked, token: IssuedToken, header: &str) {
        let client = token.client;
        let host = asked.authority.to_ascii_lowercase();
        let host = host.strip_suffix(":80").unwrap_or(&host);
        let host = host.strip_suffix('.').unwrap_or(host);
        assert_eq!(host, format!("{client}.internal"), "the token of {client} goes astray");
        assert_eq!(asked.cluster, format!("c{client}"), "the token of {client} goes astray");
        assert!(asked.is_tls, "the token of {client} goes without TLS");
        assert_eq!(header == EXCHANGED_HEADER, client == 'c', "the token of {client} in {header}");
        if client == 'c' {
            assert!(
                asked.tokens.contains(&token.subject),
                "the token of caller {} for another",
                token.subject
            );
        }
        if let Some(expiry) = self.servers.expiry(token)
            && !self.clock_was_set
        {
            assert!(self.now < expiry, "a token of {client} is sent after its end");
        }
    }
}

/// The values of a header after the edits.
fn after(head: &RequestHead, edits: &[Edit], name: &str) -> Vec<Vec<u8>> {
    match edits.iter().rev().find(|edit| edit.name() == name) {
        Some(Edit::Set(_, value)) => vec![value.as_bytes().to_vec()],
        Some(Edit::Remove(_)) => Vec::new(),
        None => head.headers.values(name).map(<[u8]>::to_vec).collect(),
    }
}

fn has_scope(token: &Token, scope: &str) -> bool {
    scope.is_empty() || token.scopes.split(' ').any(|one| one == scope)
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *byte == b'%');
        decoded.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    decoded
}

pub(super) const SUBJECT_HEADER: &str = "x-auth-subject";
/// In seconds.
const CLOCK_SKEW: u64 = 30;
/// A key that is served no more counts until the set that has it must be fetched anew, and then as long as a stale one may:
/// `refresh` and `max_staleness` of the document, and a second for the ticks.
const WITHDRAWN_AFTER: Duration = Duration::from_secs(20 + 30 + 1);
