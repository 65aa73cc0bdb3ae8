//! What `check --online` saw of one endpoint.

use core::time::Duration;

use crate::finding::Location;

/// An endpoint that was asked, or that could not be.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What it is asked for, and by whom: `keys of issuer corp`.
    pub purpose: String,
    /// Where it is; `None` where that is not known.
    pub url: Option<String>,
    /// The part of the configuration that names it.
    pub location: Location,
    /// What happened on the wire; `None` where it was not asked.
    pub exchange: Option<Exchange>,
    /// What the filter makes of it.
    pub verdict: Verdict,
    /// The verdict in words.
    pub reason: String,
    /// What the answer says, a line each. No secret and no token.
    pub details: Vec<String>,
}

/// What is made of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The filter would take what it answers.
    Good,
    /// It would not.
    Bad,
    /// It was not asked, or the filter asks another address next.
    Open,
}

/// One call and its answer.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The addresses that the name has here, as many as are tried, each with its port.
    pub addresses: Vec<String>,
    /// The TLS session, or as much of it as came about.
    pub tls: Option<Tls>,
    /// How long it took.
    pub took: Duration,
    /// How long it might have taken.
    pub limit: Duration,
    /// What came; `None`: nothing.
    pub answer: Option<Answer>,
    /// The same was asked before, and that answer was used.
    pub is_earlier: bool,
}

/// A TLS session.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// `TLSv1_3`; `None` where it was not agreed on.
    pub version: Option<String>,
    /// What the server's certificate says, if it showed one.
    pub certificate: Option<Certificate>,
}

/// A server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// When it ends, as a date of UTC.
    pub expires: String,
}

/// An answer as HTTP goes.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The media type, if it is one that such endpoints send; else `other`, or `none`.
    pub content_type: &'static str,
    /// How many bytes the body has, as far as it was read.
    pub bytes: usize,
}

impl Verdict {
    /// A stable name for other programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Open => "open",
        }
    }

    pub(super) const fn sign(self) -> char {
        match self {
            Self::Good => '✓',
            Self::Bad => '✗',
            Self::Open => '·',
        }
    }
}
