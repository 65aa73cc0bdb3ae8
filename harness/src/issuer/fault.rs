//! What shall go wrong, where and how often. An endpoint has at most one fault at a time.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use super::endpoint::Endpoint;
use super::raw_answer::RawAnswer;

/// What goes wrong at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers this status and a short JSON body.
    Status(u16),
    /// Answers this status with `Retry-After`.
    RetryAfter {
        /// The status.
        status: u16,
        /// The header's value, in seconds.
        seconds: u64,
    },
    /// Answers as usual, later.
    Delay(Duration),
    /// Never answers; the connection stays open.
    Hang,
    /// Cuts the connection without an answer.
    Reset,
    /// Answers 200 without a body.
    EmptyBody,
    /// Announces the whole body, sends half, ends the connection.
    Truncated,
    /// Answers 200 with half of the JSON, complete as HTTP goes.
    HalfJson,
    /// Answers 200 with a web page.
    Html,
    /// Answers 200 with bytes that are not UTF-8.
    NotUtf8,
    /// Answers as usual, in JSON padded to this many bytes.
    Huge(usize),
    /// Answers 200 with a set of no keys (elsewhere: an empty object).
    EmptySet,
    /// Answers 302 to the same path.
    Redirect,
    /// Answers this and nothing of the usual. At the token endpoint: no token is issued.
    Answer(RawAnswer),
    /// Answers as usual, where that is 200 with JSON, with this merge patch applied (RFC 7396): `null` removes a
    /// member.
    Patch(Value),
    /// A set of this many keys: all the real ones, then copies under other ids. Like those below, only in the JWKS.
    ManyKeys(usize),
    /// Every key of the set has the first one's id.
    DuplicateKids,
    /// A set of one RSA key of 1024 bits (RFC 7518 §3.3 wants 2048), under the current key's id.
    WeakRsa,
    /// Every key of the set with its private half, `d`.
    PrivateKeys,
    /// Every key of the set has the `kty` `XYZ`.
    UnknownKty,
    /// Every key of the set has the `alg` of another key type.
    AlgContradicts,
}

/// The faults of all endpoints.
#[derive(Debug, Default)]
pub(super) struct Faults(HashMap<Endpoint, Active>);

#[derive(Debug)]
struct Active {
    fault: Fault,
    /// How many more requests meet it; none: all.
    left: Option<u64>,
}

impl Fault {
    /// Reads a fault from its name and its number, as the admin endpoint gets them.
    pub fn parse(kind: &str, value: Option<u64>) -> Result<Self> {
        let number = || value.ok_or_else(|| anyhow::anyhow!("fault `{kind}` needs a number: add `&value=`"));
        let status = |or: u16| Ok::<u16, anyhow::Error>(value.map_or(Ok(or), u16::try_from)?);
        Ok(match kind {
            "status" => Self::Status(status(503)?),
            "retry_after" => Self::RetryAfter { status: 503, seconds: number()? },
            "delay" => Self::Delay(Duration::from_millis(number()?)),
            "hang" => Self::Hang,
            "reset" => Self::Reset,
            "empty_body" => Self::EmptyBody,
            "truncated" => Self::Truncated,
            "half_json" => Self::HalfJson,
            "html" => Self::Html,
            "not_utf8" => Self::NotUtf8,
            "huge" => Self::Huge(usize::try_from(number()?)?),
            "empty_set" => Self::EmptySet,
            "redirect" => Self::Redirect,
            "many_keys" => Self::ManyKeys(usize::try_from(number()?)?),
            "duplicate_kids" => Self::DuplicateKids,
            "weak_rsa" => Self::WeakRsa,
            "private_keys" => Self::PrivateKeys,
            "unknown_kty" => Self::UnknownKty,
            "alg_contradicts" => Self::AlgContradicts,
            other => bail!("unknown fault `{other}`: use one of {FAULTS}, or none"),
        })
    }
}

impl Faults {
    /// Sets or ends an endpoint's fault.
    pub(super) fn set(&mut self, at: Endpoint, fault: Option<Fault>, times: Option<u64>) {
        match fault {
            Some(fault) => self.0.insert(at, Active { fault, left: times }),
            None => self.0.remove(&at),
        };
    }

    /// Returns the fault that this request meets.
    pub(super) fn meet(&mut self, at: Endpoint) -> Option<Fault> {
        let active = self.0.get_mut(&at)?;
        if let Some(left) = &mut active.left {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => {
                    self.0.remove(&at);
                    return None;
                }
            }
        }
        Some(active.fault.clone())
    }
}

const FAULTS: &str = "status, retry_after, delay (ms), hang, reset, empty_body, truncated, half_json, html, not_utf8, \
                      huge (bytes), empty_set, redirect, many_keys (keys), duplicate_kids, weak_rsa, private_keys, \
                      unknown_kty, alg_contradicts";
