//! From what became of a call to a block of the report, and a finding where there is one.

use attache::base::{HttpCall, HttpReply};
use attache::oauth::FetchOutcome;

use super::network::{Fetched, MAX_CALLS, NotAsked, shown};
use crate::finding::{Finding, Location, Rule, table};
use crate::printing::bounded;
use crate::report::{Endpoint, Verdict};

/// What a call is for, and where its endpoint is configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purpose<'a> {
    /// `keys of issuer corp`.
    pub(super) what: &'a str,
    pub(super) location: &'a Location,
}

/// Where blocks and findings go.
pub(super) struct Results<'a> {
    pub(super) endpoints: &'a mut Vec<Endpoint>,
    pub(super) findings: &'a mut Vec<Finding>,
}

impl Results<'_> {
    /// A document, and what the filter makes of it.
    pub(super) fn document<C>(
        &mut self,
        purpose: Purpose<'_>,
        call: &HttpCall,
        fetched: Fetched,
        outcome: Option<&FetchOutcome<C>>,
        details: Vec<String>,
    ) {
        let redirect = redirect(&fetched.reply);
        let (verdict, reason) = match (&fetched.failure, outcome) {
            (Some(failure), _) => (Verdict::Bad, failure.clone()),
            (None, Some(FetchOutcome::Failed(error))) => (Verdict::Bad, format!("{error}{redirect}")),
            (None, Some(FetchOutcome::NotFoundHere(error))) => (
                Verdict::Open,
                format!("{error}{redirect}; the filter asks the other well-known address next"),
            ),
            (None, Some(_)) => (Verdict::Good, "the filter takes it".to_owned()),
            (None, None) => (Verdict::Open, "the filter no longer waits for it".to_owned()),
        };
        let is_unreachable = fetched.failure.is_some();
        let rule = if is_unreachable { table::ONLINE_UNREACHABLE } else { table::ONLINE_DOCUMENT };
        self.push(Block {
            purpose,
            url: Some(shown(call)),
            fetched: Some(fetched),
            verdict,
            reason,
            details,
            rule,
        });
    }

    /// An endpoint that is not asked.
    pub(super) fn not_asked(&mut self, purpose: Purpose<'_>, call: Option<&HttpCall>, why: &str) {
        self.push(Block {
            purpose,
            url: call.map(shown),
            fetched: None,
            verdict: Verdict::Open,
            reason: format!("not asked: {why}"),
            details: Vec::new(),
            rule: table::ONLINE_NOT_ASKED,
        });
        let message = format!("{} was not asked: {why}", purpose.what);
        self.findings.push(Finding::new(table::ONLINE_NOT_ASKED, purpose.location.clone(), message, ""));
    }

    /// Adds a block, and a finding where it is bad.
    pub(super) fn push(&mut self, block: Block<'_>) {
        let Block { purpose, url, fetched, verdict, reason, details, rule } = block;
        if verdict == Verdict::Bad {
            let at = url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
            let message = format!("{}{at}: {reason}", purpose.what);
            self.findings.push(Finding::new(rule, purpose.location.clone(), message, advice(rule)));
        }
        self.endpoints.push(Endpoint {
            purpose: purpose.what.to_owned(),
            url,
            location: purpose.location.clone(),
            exchange: fetched.map(|fetched| fetched.exchange),
            verdict,
            reason,
            details,
        });
    }
}

/// What is known of an endpoint.
pub(super) struct Block<'a> {
    pub(super) purpose: Purpose<'a>,
    pub(super) url: Option<String>,
    pub(super) fetched: Option<Fetched>,
    pub(super) verdict: Verdict,
    pub(super) reason: String,
    pub(super) details: Vec<String>,
    /// The rule that is broken where it is bad.
    pub(super) rule: &'static Rule,
}

impl NotAsked {
    /// Why, in words.
    pub(super) fn reason(self) -> String {
        match self {
            Self::TooMany => format!("{MAX_CALLS} calls have been made, and no more are"),
            Self::PlainText => {
                "the client's credential would go over a network in plain text from here".to_owned()
            }
            Self::Unnamed(host) => {
                let host = bounded(&host);
                format!(
                    "the metadata names {host}, which no file names for it; `--allow-host {host}` asks it all the \
                     same"
                )
            }
            Self::NoAddress => {
                "its name has no address here, so the client's credential could go anywhere in \
                                plain text"
                    .to_owned()
            }
        }
    }
}

/// What Envoy does with a redirect, where it is one.
pub(super) fn redirect(reply: &HttpReply) -> &'static str {
    let is_one = matches!(reply, HttpReply::Response { status: 300..=303 | 305..=308, .. });
    if is_one { ": a redirect, which Envoy does not follow" } else { "" }
}

fn advice(rule: &Rule) -> &'static str {
    if rule == table::ONLINE_UNREACHABLE {
        "correct the address; where only Envoy can reach it, run this from there, or with --ca or --proxy"
    } else if rule == table::ONLINE_TOKEN {
        "correct the client's credential, scopes or grant, here or at the server"
    } else {
        "correct the address or `issuer`, here or at the server"
    }
}
