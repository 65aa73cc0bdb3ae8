//! What the outbound half has done with a request.

use attache::outbound::{Settings, Unmatched};

use super::super::page::quoted;
use super::line::Record;
use super::reasons::{self, OUTBOUND};
use super::told::{Told, nearest};

/// Adds it to what is told.
pub(super) fn explain(record: &Record, settings: &Settings, told: &mut Told) {
    let client = record.text("outbound_client");
    if let Some(name) = client {
        match settings.clients.iter().find(|client| &*client.name == name) {
            Some(client) => told.page.step("client", &client.name),
            None => {
                told.page.failed("client", &format!("{} is not in the configuration", quoted(name)));
                let near = nearest(name, settings.clients.iter().map(|client| &*client.name));
                told.misfit(format!(
                    "client {}: the configuration has none of this name{near}",
                    quoted(name)
                ));
            }
        }
    }
    if let Some(cluster) = record.text("outbound_destination") {
        told.page.step("destination", &format!("cluster {}", quoted(cluster)));
        let known: Vec<&str> = settings
            .destinations
            .all()
            .iter()
            .flat_map(|one| &one.clusters)
            .map(|cluster| &**cluster)
            .collect();
        if !known.contains(&cluster) && !record.is_cut("outbound_destination") {
            let near = nearest(cluster, known);
            told.misfit(format!("cluster {}: no destination names it{near}", quoted(cluster)));
        }
    }
    if let Some(age) = record.text("outbound_token_age_s") {
        told.page.step("token", &format!("{} s old", quoted(age).trim_matches('"')));
    }
    if record.text("outbound_retried") == Some("true") {
        told.page.note("the request had been sent before with a token of the filter's");
    }
    let outcome = record.text("outbound_outcome").unwrap_or_default();
    let status = record.text("status").map(|status| format!(", answered {status}")).unwrap_or_default();
    match outcome {
        "injected" => told.page.result(&format!("forwarded with the client's token{status}")),
        "kept" => told.page.result(&format!("forwarded with the caller's own credential{status}")),
        "passed" | "stripped" => {
            told.page.failed(outcome, "no destination matches, and `unmatched` is `pass`: it got no token");
            let taken =
                if outcome == "stripped" { "; a token of the filter's was taken out of it" } else { "" };
            told.page.result(&format!("forwarded without a token{status}{taken}"));
            told.advise(
                "operator",
                "if it is to get one, add a destination: `attachectl explain --outbound` shows the nearest",
            );
            if settings.unmatched == Unmatched::Deny {
                told.misfit(format!("outcome {outcome}: `unmatched` is `deny` today"));
            }
        }
        label => match reasons::find(OUTBOUND, label) {
            Some(reason) => {
                told.page.failed(reason.label, reason.text);
                told.page.result(&format!("denied{status}"));
                told.advise(reason.who, reason.what);
                if label == "unmatched" && settings.unmatched == Unmatched::Pass {
                    told.misfit("outcome unmatched: `unmatched` is `pass` today".to_owned());
                }
            }
            None => {
                told.page.failed("outcome", &format!("{} is none that this version knows", quoted(label)));
                told.misfit(format!(
                    "outcome {}: this version of attachectl knows none of this name",
                    quoted(label)
                ));
            }
        },
    }
    // Its 401 came from the API, not from the filter.
    if outcome == "injected" && record.text("status") == Some("401") {
        told.advise(
            "operator",
            "the API does not accept the token: compare its audience and scopes with what the API asks for",
        );
    }
}
