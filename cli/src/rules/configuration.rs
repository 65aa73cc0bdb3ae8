//! The configuration itself: what the filter would refuse, and what it names of its environment.

use std::collections::BTreeSet;

use attache::config::{self, Config, Notice, NoticeTopic};
use attache::sharing::PublicationUse;

use super::subject::Subject;
use super::{
    capabilities, edits, egress, envoy_gateway, exposure, former_order, istio, metadata_places, names, seat,
    surroundings, tls, unmatched,
};
use crate::document::Document;
use crate::explanation::route_order;
use crate::finding::{Finding, table};
use crate::reading::{Filter, Host, Set};
use crate::variables::{self, Origin, StandIns, Variables};

/// What a filter does.
pub(crate) struct Summary {
    /// In a few words.
    pub(crate) text: String,
    /// Its routes, in the order in which they match.
    pub(crate) routes: Option<String>,
}

/// All that is found of a filter, and what it does if its configuration holds together.
pub(crate) fn check(set: &Set<'_>, filter: &Filter<'_>) -> (Vec<Finding>, Option<Summary>) {
    let subject = Subject {
        set,
        filter,
        document: Document::of(filter),
        variables: Variables::of(filter),
        references: variables::references(&filter.config),
    };
    let mut found = environment(&subject);
    found.extend(names::check(&subject));
    found.extend(istio::check(&subject));
    found.extend(envoy_gateway::check(&subject));
    found.extend(tls::check(&subject));
    found.extend(seat::check(&subject));
    found.extend(exposure::egress(&subject));
    found.extend(surroundings::check(&subject));
    let config = match compile(&subject) {
        Ok(config) => config,
        Err(problems) => {
            found.extend(problems);
            None
        }
    };
    let Some(config) = config else { return (found, None) };
    found.extend(compiled(&subject, &config));
    let patterns = || config::route_patterns(subject.document.value());
    let routes = config.inbound.as_ref().map(|inbound| route_order(inbound, &patterns()));
    (found, Some(Summary { text: summary(&config), routes }))
}

fn compiled(subject: &Subject<'_, '_>, config: &Config) -> Vec<Finding> {
    let mut found = capabilities::check(subject, config);
    found.extend(capabilities::bodies(subject, config));
    found.extend(edits::check(subject, config));
    found.extend(metadata_places::check(subject, config));
    if let Some(outbound) = &config.outbound {
        found.extend(egress::check(subject, outbound));
        found.extend(unmatched::check(subject, outbound));
    }
    found.extend(moved_routes(subject, config));
    found.extend(notices(subject, config));
    found
}

/// Compiles it with a stand-in for each variable that is not set here. `Ok(None)`: only the stand-ins do not fit.
fn compile(subject: &Subject<'_, '_>) -> Result<Option<Config>, Vec<Finding>> {
    let (variables, references) = (&subject.variables, &*subject.references);
    let has_vm_id = subject.filter.has_vm_id().unwrap_or_default();
    let errors = match subject.document.compile_in(&StandIns { variables, references, has_vm_id }) {
        Ok(config) => return Ok(Some(config)),
        Err(errors) => errors,
    };
    let config = &subject.filter.config;
    let is_stand_in = |location: &crate::finding::Location| {
        let mut unset = references
            .iter()
            .filter(|reference| config::Environment::variable(variables, reference.name).is_none());
        unset.any(|reference| reference.place.path() == location.path)
    };
    let problems = errors.0.into_iter().filter_map(|problem| {
        let location = config.location_of(&problem.path);
        (!is_stand_in(&location))
            .then(|| Finding::new(table::CONFIGURATION_INVALID, location, problem.text, ""))
    });
    let problems: Vec<_> = problems.collect();
    if problems.is_empty() { Ok(None) } else { Err(problems) }
}

/// What becomes of the variables that it names.
fn environment(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for reference in &subject.references {
        let name = reference.name;
        match subject.variables.origin(name) {
            Origin::Missing => found.push(reference.place.finding(
                table::VARIABLE_NOT_PASSED,
                format!("the VM does not get the variable {name}: the configuration would be refused"),
                match subject.filter.host {
                    Host::Istio => "list it in `vmConfig.env` with `valueFrom: HOST`",
                    Host::EnvoyGateway => "list it in `env.hostKeys`",
                    Host::Envoy | Host::Unknown => {
                        "list it in `vm_config.environment_variables.host_env_keys`"
                    }
                },
            )),
            Origin::Given | Origin::Passed if !seen.insert(name) => {}
            Origin::Given => {
                let place = variables::place_of_value(subject.filter, name);
                let location = place.map_or_else(|| subject.filter.location(), |place| place.location());
                let message = format!(
                    "the value of {name} stands in the file: it is visible to all who may read the file or a \
                    configuration dump"
                );
                let advice = "pass it from Envoy's own environment (`host_env_keys`, or `valueFrom: HOST`)";
                found.push(
                    Finding::new(table::VARIABLE_INLINE, location, message, advice)
                        .beside(reference.place.location()),
                );
            }
            Origin::Passed if config::Environment::variable(&subject.variables, name).is_none() => {
                found.push(reference.place.finding(
                    table::VARIABLE_UNSET,
                    format!("{name} is not set where attachectl runs: its content was not checked"),
                    "",
                ));
            }
            Origin::Passed => {}
        }
    }
    found
}

/// Requests that another version gave to another route.
fn moved_routes(subject: &Subject<'_, '_>, config: &Config) -> Vec<Finding> {
    let Some(inbound) = &config.inbound else { return Vec::new() };
    let patterns = config::route_patterns(subject.document.value());
    let location = subject.filter.config.location_of("inbound.routes");
    let changes = former_order::changes(&patterns, &inbound.routes).into_iter();
    changes.map(|change| Finding::new(table::ROUTE_MOVED, location.clone(), change, "")).collect()
}

/// What the filter itself says at its start.
fn notices(subject: &Subject<'_, '_>, config: &Config) -> Vec<Finding> {
    let depends_on_vm =
        config.sharing.as_ref().is_some_and(|sharing| sharing.publication_use() == PublicationUse::Confirm);
    let is_unknown = subject.filter.has_vm_id().is_none() && depends_on_vm;
    let condition = if is_unknown { "in a VM without `vm_id`, as Istio makes them: " } else { "" };
    let notices = config.notices().into_iter();
    let found = notices.map(|Notice { topic, text, .. }| match topic {
        NoticeTopic::Sharing => {
            let location = subject.filter.config.location_of("sharing");
            Finding::new(table::SHARING, location, format!("{condition}{text}"), "")
        }
        NoticeTopic::ReportOnly => {
            Finding::new(table::REPORT_ONLY, subject.filter.config.location_of("inbound"), text, "")
        }
        NoticeTopic::Messages => {
            let location = subject.filter.config.location_of("inbound.routes");
            Finding::new(table::MESSAGES_UNJUDGED, location, text, "")
        }
    });
    found.collect()
}

fn summary(config: &Config) -> String {
    let inbound = config.inbound.as_ref().map(|inbound| {
        let routes = inbound.routes.routes().len().saturating_sub(1);
        format!("{}, {}", counted(inbound.issuers.len(), "issuer"), counted(routes, "route"))
    });
    let outbound = config.outbound.as_ref().map(|outbound| {
        let destinations = outbound.destinations.all().len();
        format!("{}, {}", counted(outbound.clients.len(), "client"), counted(destinations, "destination"))
    });
    inbound.into_iter().chain(outbound).collect::<Vec<_>>().join(", ")
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
