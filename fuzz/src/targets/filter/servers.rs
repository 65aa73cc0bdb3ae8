//! The issuers and token endpoints: what they would answer, and what they have answered.

use core::time::Duration;
use std::collections::BTreeMap;

use attache::base::{HttpCall, Timestamp};
use serde_json::json;

use super::document::PARTNER;
use super::tokens::Tokens;

/// Lower bits choose what they say: of the keys of `corp`, of the metadata of `partner`, of how long our tokens last.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) version: u8,
    /// When each key was served last, on a clock that is never set.
    served: BTreeMap<&'static str, Duration>,
    /// When each of our tokens ends, by its number; `None` where the server's word was damaged.
    expiries: BTreeMap<u32, Option<Timestamp>>,
}

/// A body, and the keys or the token of ours in it.
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    pub(super) keys: &'static [&'static str],
    pub(super) token: Option<IssuedToken>,
}

/// A token of ours as its text tells it: whose it is, for which caller's token, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IssuedToken {
    pub(super) client: char,
    pub(super) subject: usize,
    pub(super) number: u32,
}

impl Servers {
    pub(super) fn new(version: u8) -> Self {
        Self { version, served: BTreeMap::new(), expiries: BTreeMap::new() }
    }

    /// How long before this time a key was served last; `None` if it never was.
    pub(super) fn since_served(&self, key: &str, time: Duration) -> Option<Duration> {
        Some(time.saturating_sub(*self.served.get(key)?))
    }

    /// These keys have come, perhaps damaged.
    pub(super) fn serve(&mut self, keys: &[&'static str], elapsed: Duration) {
        self.served.extend(keys.iter().map(|key| (*key, elapsed)));
    }

    /// A server has said that what it has served still stands.
    pub(super) fn serve_again(&mut self, elapsed: Duration) {
        self.served.values_mut().for_each(|served| *served = elapsed);
    }

    pub(super) fn expiry(&self, token: IssuedToken) -> Option<Timestamp> {
        self.expiries[&token.number]
    }

    /// How many tokens have been issued.
    pub(super) fn issued(&self) -> u32 {
        self.expiries.len() as u32
    }

    /// The reply to this call may be damaged on its way, so that its token's lifetime is unknown.
    pub(super) fn forget_expiry(&mut self, token: IssuedToken) {
        self.expiries.insert(token.number, None);
    }

    pub(super) fn answer(&mut self, call: &HttpCall, tokens: &Tokens, now: Timestamp) -> Answer {
        let path = header(call, ":path");
        let keys = |keys: &'static [_]| Answer { body: tokens.key_set(keys), keys, token: None };
        match &*call.cluster {
            "idp" => keys(CORP_KEYS[usize::from(self.version & 7)]),
            "partner" if path.ends_with(b"configuration") || path.starts_with(b"/.well-known") => {
                let elsewhere = "https://elsewhere.example:8443/jwks?x=1";
                let usual = format!("{PARTNER}/jwks");
                let uri = if self.version & 8 == 0 { &*usual } else { elsewhere };
                Answer {
                    body: json!({ "issuer": PARTNER, "jwks_uri": uri }).to_string().into_bytes(),
                    keys: &[],
                    token: None,
                }
            }
            "partner" => keys(&["p1"]),
            "tok" => self.issue('a', 0, now),
            "tok2" => self.issue('b', 0, now),
            "sts" => {
                let form: BTreeMap<_, _> =
                    url::form_urlencoded::parse(call.body.expose()).into_owned().collect();
                let text = form.get("subject_token").expect("a token to exchange");
                let subject =
                    tokens.all.iter().position(|token| token.text == *text).expect("a caller's token");
                assert!(tokens.all[subject].is_good, "a token that never verified is exchanged");
                self.issue('c', subject, now)
            }
            other => panic!("no server is to be asked at {other}"),
        }
    }

    fn issue(&mut self, client: char, subject: usize, now: Timestamp) -> Answer {
        let lifetime = [3600, 20, 2, 1][usize::from(self.version >> 4 & 3)];
        let token = IssuedToken { client, subject, number: self.issued() };
        self.expiries.insert(token.number, Some(now.after(Duration::from_secs(lifetime))));
        let body = json!({ "access_token": token.text(), "token_type": "Bearer", "expires_in": lifetime,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token" });
        Answer { body: body.to_string().into_bytes(), keys: &[], token: Some(token) }
    }
}

impl IssuedToken {
    fn text(self) -> String {
        let Self { client, subject, number } = self;
        format!("{MARK}{client}-{subject}-{number}-{TOKEN_WORD}")
    }

    /// The token of ours in a header's value.
    pub(super) fn find(value: &[u8]) -> Option<Self> {
        let value = str::from_utf8(value).ok()?;
        let (_, token) = value.split_once(MARK)?;
        let mut parts = token.split('-');
        let token = Self {
            client: parts.next()?.parse().ok()?,
            subject: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        };
        (parts.next() == Some(TOKEN_WORD)).then_some(token)
    }
}

fn header<'c>(call: &'c HttpCall, name: &str) -> &'c [u8] {
    call.headers.iter().find(|(other, _)| &**other == name).map_or(b"", |(_, value)| value.expose())
}

/// What no log line, annotation or answer may hold: a part of each of our tokens.
pub(super) const TOKEN_WORD: &str = "sekrit0123456789";
const MARK: &str = "tok-";
const CORP_KEYS: [&[&str]; 8] =
    [&["k1"], &["k1", "k2"], &["k2"], &["k1", "k2", "k3"], &["k3"], &["k2", "k3"], &["k1"], &["k3", "k1"]];
