//! Clusters that Istio makes of its resources: `outbound|PORT|SUBSET|HOST`.

use super::endpoints::{Endpoint, Purpose, destinations, endpoints};
use super::names::{Names, named};
use super::subject::Subject;
use crate::finding::{Finding, table};
use crate::reading::{Host, Place};

/// What is found of the clusters that a plugin of Istio names.
pub(crate) fn check(subject: &Subject<'_, '_>) -> Vec<Finding> {
    if subject.filter.host != Host::Istio {
        return Vec::new();
    }
    let config = &subject.filter.config;
    let mut found: Vec<_> =
        named(config).into_iter().filter_map(|(place, what)| name(subject, &place, &what)).collect();
    found.extend(endpoints(config).iter().filter_map(|endpoint| encryption(subject, endpoint)));
    found.extend(undeclared(subject));
    found
}

/// A name that no resource makes a cluster for.
fn name(subject: &Subject<'_, '_>, place: &Place<'_>, what: &str) -> Option<Finding> {
    let name = place.as_str().unwrap_or_default();
    let Some((port, host)) = parts(name) else {
        if subject.set.cluster(subject.filter, name).is_some() {
            return None;
        }
        return Some(place.finding(
            table::CLUSTER_DOUBTFUL,
            format!("{name} (for {what}) is not a name that Istio gives to a cluster"),
            "write `outbound|PORT||HOST`, as `istioctl proxy-config cluster` shows it, or give the EnvoyFilter that \
            adds it",
        ));
    };
    if is_service(host) {
        return None;
    }
    let entries = subject.manifests("ServiceEntry");
    let Some(entry) = entries.iter().find(|entry| has_host(entry, host)) else {
        if entries.is_empty() {
            return Some(place.finding(
                table::RESOURCES_NOT_GIVEN,
                format!("whether there is a cluster {name}, and whether it has TLS, was not checked: no ServiceEntry \
                was given"),
                "",
            ));
        }
        let hosts = Names::new(entries.iter().flat_map(hosts));
        return Some(place.finding(
            table::CLUSTER_DOUBTFUL,
            format!("no ServiceEntry has the host {host}, so there is no cluster {name} for {what}"),
            hosts.nearest(host).map_or_else(
                || "add a ServiceEntry, or give it as well".to_owned(),
                |near| format!("did you mean outbound|{port}||{near}?"),
            ),
        ));
    };
    if ports(entry).any(|one| number(&one) == Some(port)) {
        return None;
    }
    let known: Vec<_> = ports(entry).filter_map(|one| number(&one)).map(|port| port.to_string()).collect();
    let finding = place.finding(
        table::CLUSTER_UNKNOWN,
        format!("the ServiceEntry of {host} has no port {port}, so there is no cluster {name} for {what}"),
        format!("name one of its ports ({}), or add this one", known.join(", ")),
    );
    Some(finding.beside(entry.location()))
}

/// What goes out in plain text, or over TLS that checks nothing.
fn encryption(subject: &Subject<'_, '_>, endpoint: &Endpoint<'_>) -> Option<Finding> {
    let (port, host) = parts(endpoint.cluster)?;
    let entry = subject.manifests("ServiceEntry").into_iter().find(|entry| has_host(entry, host))?;
    let place = ports(&entry).find(|one| number(one) == Some(port))?;
    let rules = subject.manifests("DestinationRule");
    let is_for = |rule: &&Place<'_>| rule.member("spec").is_some_and(|spec| covers(spec.text("host"), host));
    let tls = rules.iter().filter(is_for).find_map(|rule| tls_of(rule, port));
    match &tls {
        Some(tls) if tls.flag("insecureSkipVerify") == Some(true) => Some(
            tls.finding(
                table::TLS_UNVERIFIED,
                format!(
                    "TLS to {host} accepts every certificate: any server on the way can pretend to be it"
                ),
                "remove `insecureSkipVerify`, and set `subjectAltNames`",
            )
            .beside(endpoint.place.location()),
        ),
        Some(tls) if ["SIMPLE", "MUTUAL", "ISTIO_MUTUAL"].contains(&tls.text("mode")) => None,
        _ if endpoint.is_optional && endpoint.uri.starts_with("http://") => Some(endpoint.place.finding(
            table::ENDPOINT_HTTP,
            format!(
                "{} of {} are fetched from {}, without TLS: {}",
                endpoint.purpose.word(),
                endpoint.of,
                endpoint.shown(),
                endpoint.purpose.risk()
            ),
            "use https, and a DestinationRule with `tls.mode: SIMPLE`",
        )),
        _ if endpoint.purpose == Purpose::Metadata => None,
        _ => Some(
            tls.as_ref()
                .unwrap_or(&place)
                .finding(
                    table::ENDPOINT_PLAINTEXT,
                    format!(
                        "{} of {} are fetched from {} through {}, for which no DestinationRule has TLS: {}",
                        endpoint.purpose.word(),
                        endpoint.of,
                        endpoint.shown(),
                        endpoint.cluster,
                        endpoint.purpose.risk()
                    ),
                    format!("add a DestinationRule of {host} with `tls: {{ mode: SIMPLE }}` for port {port}"),
                )
                .beside(endpoint.place.location()),
        ),
    }
}

/// Destinations that are not allowed without TLS: Istio's clusters assert nothing.
fn undeclared(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let config = &subject.filter.config;
    let waived =
        config.member("outbound").into_iter().flat_map(|outbound| outbound.list("plaintext_clusters"));
    let waived: Vec<&str> = waived.filter_map(|cluster| cluster.as_str()).collect();
    // An EnvoyFilter can put the metadata there.
    let may_assert = !subject.manifests("EnvoyFilter").is_empty();
    let places = destinations(config)
        .into_iter()
        .filter(|place| !may_assert && !waived.contains(&place.as_str().unwrap_or_default()));
    places.map(|place| {
        let name = place.as_str().unwrap_or_default();
        place.finding(
            table::DESTINATION_TLS_UNDECLARED,
            format!("cluster {name} is not in `plaintext_clusters`, and Istio's clusters assert no TLS to the \
            filter: every request that should get a token gets 503"),
            "name it in `plaintext_clusters` where Istio's mutual TLS or a DestinationRule encrypts, or assert TLS \
            by an EnvoyFilter",
        )
    }).collect()
}

/// Port and host of a cluster's name.
fn parts(name: &str) -> Option<(i64, &str)> {
    let mut parts = name.split('|');
    let (direction, port, _subset, host) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (direction == "outbound" && parts.next().is_none() && !host.is_empty()).then_some(())?;
    Some((port.parse().ok()?, host))
}

/// Kubernetes' own services need no entry.
fn is_service(host: &str) -> bool {
    !host.contains('.') || host.ends_with(".svc.cluster.local")
}

fn hosts<'a>(entry: &Place<'a>) -> Vec<&'a str> {
    let spec = entry.member("spec");
    spec.iter().flat_map(|spec| spec.list("hosts")).filter_map(|host| host.as_str()).collect()
}

fn has_host(entry: &Place<'_>, host: &str) -> bool {
    hosts(entry).into_iter().any(|pattern| covers(pattern, host))
}

fn covers(pattern: &str, host: &str) -> bool {
    pattern == host || pattern.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix))
}

fn ports<'a>(entry: &Place<'a>) -> impl Iterator<Item = Place<'a>> + use<'a> {
    entry.member("spec").into_iter().flat_map(|spec| spec.list("ports"))
}

fn number(port: &Place<'_>) -> Option<i64> {
    port.member("number")?.integer()
}

/// What a rule says of TLS for a port.
fn tls_of<'a>(rule: &Place<'a>, port: i64) -> Option<Place<'a>> {
    let policy = rule.at(&["spec", "trafficPolicy"])?;
    let mut settings = policy.list("portLevelSettings");
    let own = settings.find(|one| one.member("port").as_ref().and_then(number) == Some(port));
    own.and_then(|own| own.member("tls")).or_else(|| policy.member("tls"))
}
