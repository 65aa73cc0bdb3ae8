//! Metadata and keys of the issuers, asked for by the filter's own key stores.

use std::rc::Rc;

use attache::base::CallBudget;
use attache::inbound::Issuer;
use attache::issuer::{DocumentKind, IssuerChange, KeyBounds, KeySource, KeyStore};
use attache::jose::MAX_KEY_SET_BYTES;
use attache::oauth::{FetchOutcome, MAX_METADATA_BYTES, NoTokens};

use super::host::{Host, now};
use super::hosts::named;
use super::network::{Fetched, Network, shown};
use super::outcome::{Block, Purpose, Results};
use super::subject::Subject;
use crate::explanation::{Inbound, key_lines, metadata_lines};
use crate::finding::{Finding, table};
use crate::report::{Endpoint, Verdict};

/// Asks for the documents of all issuers of a filter. `None` where it has no inbound half.
pub(super) fn examine(
    subject: &Subject<'_, '_>,
    network: &mut Network<'_>,
    endpoints: &mut Vec<Endpoint>,
    findings: &mut Vec<Finding>,
) -> Option<Inbound> {
    let settings = Rc::clone(subject.config.inbound.as_ref()?);
    let bounds = KeyBounds::for_sources(settings.issuers.iter().flat_map(|issuer| &issuer.keys));
    let mut results = Results { endpoints, findings };
    let mut keys = Vec::new();
    for (place, issuer) in settings.issuers.iter().enumerate() {
        let location = subject.filter.config.location_of(&format!("inbound.issuers[{place}].keys"));
        let mut host = Host::new();
        // One time for all of its documents: what has failed is not due again.
        let now = now();
        let mut store = KeyStore::new(&issuer.keys, bounds, None, 0, now);
        for client in issuer.keys.iter().filter_map(KeySource::client) {
            let what = format!("keys of issuer {}", issuer.name);
            let why = format!("the fetch would carry a token of client {}", client.name);
            results.not_asked(Purpose { what: &what, location: &location }, None, &why);
        }
        for _ in 0..MAX_ROUNDS {
            let (_, calls) =
                store.handle_tick((&mut CallBudget::of(MAX_ROUNDS), &mut NoTokens), &mut host.context(now));
            if calls.is_empty() {
                break;
            }
            for (document, call) in calls {
                let (kind, max_bytes) = match document.kind {
                    DocumentKind::Keys => ("keys", MAX_KEY_SET_BYTES.min(bounds.document_bytes)),
                    DocumentKind::Metadata => ("metadata", MAX_METADATA_BYTES.min(bounds.document_bytes)),
                };
                let what = format!("{kind} of issuer {}", issuer.name);
                let purpose = Purpose { what: &what, location: &location };
                let is_found = document.kind == DocumentKind::Keys
                    && matches!(issuer.keys.get(document.source), Some(KeySource::Discovery(_)));
                let named = is_found.then(|| named(subject, issuer.metadata_issuer(), &call.cluster));
                let fetched = match network.ask(&what, &call, max_bytes, named.as_deref()) {
                    Ok(fetched) => fetched,
                    Err(why) => {
                        results.not_asked(purpose, Some(&call), &why.reason());
                        continue;
                    }
                };
                let details = details(issuer, document.kind, &fetched);
                let event = store.handle_reply(document, fetched.reply.clone(), &mut host.context(now));
                let outcome = event.map(|event| event.event.outcome);
                if holds_private_keys(outcome.as_ref()) {
                    results.push(Block {
                        purpose,
                        url: Some(shown(&call)),
                        fetched: Some(fetched),
                        verdict: Verdict::Bad,
                        reason: "it publishes private keys: every reader can sign as this issuer".to_owned(),
                        details,
                        rule: table::ONLINE_DOCUMENT,
                    });
                } else {
                    results.document(purpose, &call, fetched, outcome.as_ref(), details);
                }
            }
        }
        keys.push(store.keys().map(Rc::clone));
    }
    Some(Inbound { settings, keys })
}

fn holds_private_keys(outcome: Option<&FetchOutcome<IssuerChange>>) -> bool {
    matches!(outcome, Some(FetchOutcome::Changed(IssuerChange::Keys(change))) if change.private_members)
}

fn details(issuer: &Issuer, kind: DocumentKind, fetched: &Fetched) -> Vec<String> {
    let Some(body) = fetched.document() else { return Vec::new() };
    match kind {
        DocumentKind::Keys => key_lines(issuer, body),
        DocumentKind::Metadata => metadata_lines(body, issuer.metadata_issuer(), "jwks_uri"),
    }
}

/// More than the documents of an issuer take.
const MAX_ROUNDS: usize = 64;
