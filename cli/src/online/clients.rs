//! A token for each client, asked for once by the filter's own stores, and never shown.

use core::time::Duration;
use std::rc::Rc;

use attache::base::{CallBudget, HttpCall, Timestamp};
use attache::oauth::{
    Authentication, Grant, MAX_METADATA_BYTES, MAX_TOKEN_ANSWER_BYTES, TokenAnswer, TokenQuery,
};
use attache::outbound::{
    Client, ClientId, EndpointLocation, Injector, MAX_ACCESS_TOKEN_BYTES, Obtain, OutboundCall,
    OutboundEvent, Settings, TokenChange,
};

use super::host::{Host, now};
use super::hosts::named;
use super::network::{Fetched, Network, shown};
use super::outcome::{Block, Purpose, Results, redirect};
use super::subject::Subject;
use crate::explanation::{Inbound, Judgement, metadata_lines, token_lines};
use crate::finding::{Finding, Location, table};
use crate::report::{Endpoint, Verdict};

/// Asks for a token for each client of a filter.
pub(super) fn examine(
    subject: &Subject<'_, '_>,
    inbound: Option<&Inbound>,
    network: &mut Network<'_>,
    endpoints: &mut Vec<Endpoint>,
    findings: &mut Vec<Finding>,
) {
    let Some(settings) = &subject.config.outbound else { return };
    for (place, client) in settings.clients.iter().enumerate() {
        let path = format!("outbound.clients[{place}]");
        let location = subject.filter.config.location_of(&path);
        let results = Results { endpoints: &mut *endpoints, findings: &mut *findings };
        let why_not = why_not(subject, &location.path, client);
        let injector = Injector::new(
            Rc::new(only(settings, place, why_not.is_none())),
            None,
            [0; 16],
            &mut Host::new().context(now()),
        );
        let run = Run { client, id: ClientId(place), location, inbound, injector, results, is_told: false };
        run.walk(network, subject, settings, why_not);
    }
}

/// Why a client's token cannot be asked for from here.
fn why_not(subject: &Subject<'_, '_>, path: &str, client: &Client) -> Option<String> {
    match &client.request.credentials.authentication {
        Authentication::SetByCluster => {
            return Some("set_by_cluster: only Envoy's cluster has the credential".to_owned());
        }
        Authentication::TlsClientAuth => {
            return Some("tls_client_auth: only Envoy's cluster has the certificate".to_owned());
        }
        Authentication::Basic(..) | Authentication::Post(_) | Authentication::PrivateKeyJwt(_) => {}
    }
    if matches!(client.request.grant, Grant::TokenExchange { .. }) {
        return Some("a token exchange takes a caller's token".to_owned());
    }
    let is_here = |unset: &&crate::variables::Reference<'_>| {
        unset.place.path().strip_prefix(path).is_some_and(|rest| rest.starts_with('.'))
    };
    let unset = subject.unset.iter().find(is_here)?;
    Some(format!("{} is not set where attachectl runs", unset.name))
}

/// The same clients, of which this one asks at once, if it may, and the others never do.
fn only(settings: &Settings, place: usize, asks: bool) -> Settings {
    let clients = settings.clients.iter().enumerate().map(|(index, client)| {
        let obtain = if index == place && asks { Obtain::AtStart } else { Obtain::OnDemand };
        Rc::new(Client { obtain, ..(**client).clone() })
    });
    Settings { clients: clients.collect(), ..settings.clone() }
}

/// One client at work.
struct Run<'a> {
    client: &'a Client,
    id: ClientId,
    location: Location,
    inbound: Option<&'a Inbound>,
    injector: Injector,
    results: Results<'a>,
    /// Something has been said of its token.
    is_told: bool,
}

impl Run<'_> {
    fn walk(
        mut self,
        network: &mut Network<'_>,
        subject: &Subject<'_, '_>,
        settings: &Settings,
        why_not: Option<String>,
    ) {
        let issuer =
            settings.endpoints.get(self.client.endpoint.0).and_then(|endpoint| match &endpoint.location {
                EndpointLocation::Discovered(discovery) => Some(Rc::clone(&discovery.issuer)),
                EndpointLocation::At(_) => None,
            });
        let mut host = Host::new();
        // One time for all of its calls: what has failed is not due again.
        let now = now();
        for _ in 0..MAX_ROUNDS {
            let budget = &mut CallBudget::of(MAX_BUDGET);
            let (events, calls) = self.injector.handle_tick(budget, &mut host.context(now));
            events.into_iter().for_each(|event| self.unsent(event));
            let mut is_idle = true;
            for (purpose, call) in calls {
                match purpose {
                    OutboundCall::Metadata(endpoint) if endpoint == self.client.endpoint => {
                        is_idle = false;
                        let issuer = issuer.as_deref().unwrap_or_default();
                        self.metadata(network, &call, purpose, issuer, (&mut host, now));
                    }
                    OutboundCall::Token(id) if id == self.id => {
                        is_idle = false;
                        let named = issuer.as_deref().map(|issuer| named(subject, issuer, &call.cluster));
                        self.token(network, &call, purpose, named.as_deref(), (&mut host, now));
                    }
                    // Those of other clients have their turn.
                    OutboundCall::Metadata(_) | OutboundCall::Token(_) | OutboundCall::Exchange(..) => {}
                }
            }
            if is_idle {
                break;
            }
        }
        if !self.is_told {
            let what = format!("token of client {}", self.client.name);
            let why =
                why_not.unwrap_or_else(|| "its metadata names no endpoint that the filter takes".to_owned());
            let purpose = Purpose { what: &what, location: &self.location };
            self.results.not_asked(purpose, None, &why);
        }
    }

    fn metadata(
        &mut self,
        network: &mut Network<'_>,
        call: &HttpCall,
        purpose: OutboundCall,
        issuer: &str,
        (host, now): (&mut Host, Timestamp),
    ) {
        let what = format!("metadata for client {}", self.client.name);
        let asked = Purpose { what: &what, location: &self.location };
        let fetched = match network.ask(&what, call, MAX_METADATA_BYTES, None) {
            Ok(fetched) => fetched,
            Err(why) => return self.results.not_asked(asked, Some(call), &why.reason()),
        };
        let details = fetched.document().map(|body| metadata_lines(body, issuer, "token_endpoint"));
        let event = self.injector.handle_reply(purpose, fetched.reply.clone(), &mut host.context(now));
        let outcome = match event {
            Some(OutboundEvent::Endpoint { event, .. }) => Some(event.outcome),
            Some(OutboundEvent::Token { .. }) | None => None,
        };
        self.results.document(asked, call, fetched, outcome.as_ref(), details.unwrap_or_default());
    }

    fn token(
        &mut self,
        network: &mut Network<'_>,
        call: &HttpCall,
        purpose: OutboundCall,
        named: Option<&[String]>,
        (host, now): (&mut Host, Timestamp),
    ) {
        self.is_told = true;
        let what = format!("token of client {}", self.client.name);
        let asked = Purpose { what: &what, location: &self.location };
        let fetched = match network.ask(&what, call, MAX_TOKEN_ANSWER_BYTES, named) {
            Ok(fetched) => fetched,
            Err(why) => return self.results.not_asked(asked, Some(call), &why.reason()),
        };
        let query = TokenQuery {
            request: &self.client.request,
            subject: None,
            max_token_bytes: MAX_ACCESS_TOKEN_BYTES,
        };
        let answer = TokenAnswer::read(fetched.reply.clone(), query, now);
        let event = self.injector.handle_reply(purpose, fetched.reply.clone(), &mut host.context(now));
        let fault = match event {
            Some(OutboundEvent::Token { event, .. }) => match event.change {
                TokenChange::Failed(fault) => Some(fault),
                TokenChange::Obtained { .. } | TokenChange::Rejected(_) | TokenChange::Expired => None,
            },
            Some(OutboundEvent::Endpoint { .. }) | None => None,
        };
        match (answer, fault) {
            (Ok(answer), None) => self.obtained(call, fetched, &answer, now),
            (Err(failure), None) => self.refused(call, fetched, &failure.fault.to_string()),
            (_, Some(fault)) => self.refused(call, fetched, &fault.to_string()),
        }
    }

    fn obtained(&mut self, call: &HttpCall, fetched: Fetched, answer: &TokenAnswer, now: Timestamp) {
        let what = format!("token of client {}", self.client.name);
        let token = answer.token.expose();
        let given = answer.expires_in.map_or("no expires_in".to_owned(), |expires_in| {
            format!("expires_in {} s", expires_in.as_secs())
        });
        let times = self.client.lifetime.times(token, answer.expires_in, now);
        let secs = |time: Duration| time.as_secs();
        let mut details = vec![format!(
            "{} bytes, {given}: put on requests for {} s, renewed after {} s at the earliest",
            token.len(),
            secs(times.until.since(now)),
            secs(times.renewal.since(now)),
        )];
        if !answer.scopes.missing.is_empty() {
            details.push(format!(
                "of the scopes that were asked for it lacks {}",
                answer.scopes.missing.join(", ")
            ));
        }
        let (judgement, lines) = token_lines(token, self.inbound, now);
        let why = lines.last().map(|line| line.trim_start_matches([' ', '✗']).to_owned());
        details.extend(lines);
        if judgement == Judgement::Denied {
            let message = format!("{what}: {}", why.unwrap_or_default());
            let finding = Finding::new(table::ONLINE_TOKEN_DENIED, self.location.clone(), message, "");
            self.results.findings.push(finding);
        }
        self.results.push(Block {
            purpose: Purpose { what: &what, location: &self.location },
            url: Some(shown(call)),
            fetched: Some(fetched),
            verdict: Verdict::Good,
            reason: "the filter takes the token".to_owned(),
            details,
            rule: table::ONLINE_TOKEN,
        });
    }

    fn refused(&mut self, call: &HttpCall, fetched: Fetched, fault: &str) {
        let what = format!("token of client {}", self.client.name);
        let (rule, reason) = match &fetched.failure {
            Some(failure) => (table::ONLINE_UNREACHABLE, failure.clone()),
            None => (table::ONLINE_TOKEN, format!("{fault}{}", redirect(&fetched.reply))),
        };
        self.results.push(Block {
            purpose: Purpose { what: &what, location: &self.location },
            url: Some(shown(call)),
            fetched: Some(fetched),
            verdict: Verdict::Bad,
            reason,
            details: Vec::new(),
            rule,
        });
    }

    /// A request that could not even be made.
    fn unsent(&mut self, event: OutboundEvent) {
        let OutboundEvent::Token { client, event, .. } = event else { return };
        let TokenChange::Failed(fault) = event.change else { return };
        if client != self.id {
            return;
        }
        self.is_told = true;
        let what = format!("token of client {}", self.client.name);
        self.results.push(Block {
            purpose: Purpose { what: &what, location: &self.location },
            url: None,
            fetched: None,
            verdict: Verdict::Bad,
            reason: fault.to_string(),
            details: Vec::new(),
            rule: table::ONLINE_TOKEN,
        });
    }
}

/// More than metadata and a token take.
const MAX_ROUNDS: usize = 8;
/// More calls than all clients of a configuration make in one tick.
const MAX_BUDGET: usize = 100_000;
