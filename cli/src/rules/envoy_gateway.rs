//! Clusters that Envoy Gateway makes of its routes: `httproute/NAMESPACE/NAME/rule/INDEX`.

use super::endpoints::endpoints;
use super::names::{Names, named};
use super::subject::Subject;
use crate::finding::{Finding, table};
use crate::reading::{Host, Place};

/// What is found of the clusters that an extension of Envoy Gateway names.
pub(crate) fn check(subject: &Subject<'_, '_>) -> Vec<Finding> {
    if subject.filter.host != Host::EnvoyGateway {
        return Vec::new();
    }
    let routes = subject.manifests("HTTPRoute");
    let mut found = Vec::new();
    for (place, what) in named(&subject.filter.config) {
        let name = place.as_str().unwrap_or_default();
        let Some((namespace, route, index)) = parts(name) else { continue };
        if routes.is_empty() {
            found.push(place.finding(
                table::RESOURCES_NOT_GIVEN,
                format!("whether there is a cluster {name}, and whether it has TLS, was not checked: no HTTPRoute \
                was given"),
                "",
            ));
            continue;
        }
        let Some(manifest) = routes.iter().find(|one| names(one) == (namespace, route)) else {
            let known: Vec<String> = routes
                .iter()
                .map(names)
                .map(|(space, name)| format!("httproute/{space}/{name}/rule/{index}"))
                .collect();
            let known = Names::new(known.iter().map(String::as_str));
            found.push(place.finding(
                table::CLUSTER_DOUBTFUL,
                format!("no HTTPRoute {route} of namespace {namespace} was given, so there may be no cluster {name} \
                for {what}"),
                known.nearest(name).map_or_else(|| "give it as well".to_owned(), |near| format!("did you mean \
                {near}?")),
            ));
            continue;
        };
        let rules = manifest.member("spec").and_then(|spec| spec.member("rules"));
        let Some(rule) = rules.and_then(|rules| rules.items().nth(index)) else {
            let finding = place.finding(
                table::CLUSTER_UNKNOWN,
                format!(
                    "the HTTPRoute {route} has no rule {index}, so there is no cluster {name} for {what}"
                ),
                "rules are counted from 0",
            );
            found.push(finding.beside(manifest.location()));
            continue;
        };
        found.extend(plaintext(subject, &place, &rule));
    }
    found
}

/// A backend that no policy gives TLS to.
fn plaintext(subject: &Subject<'_, '_>, cluster: &Place<'_>, rule: &Place<'_>) -> Option<Finding> {
    let endpoint =
        endpoints(&subject.filter.config).into_iter().find(|one| one.place.path() == cluster.path())?;
    let backend = rule.list("backendRefs").find(|one| one.text("kind") == "Backend")?;
    let name = backend.text("name");
    let given = subject.manifests("Backend").into_iter().find(|one| names(one).1 == name)?;
    let has_own = given.at(&["spec", "tls"]).is_some();
    let has_policy = subject.manifests("BackendTLSPolicy").iter().any(|policy| {
        let spec = policy.member("spec");
        spec.is_some_and(|spec| spec.list("targetRefs").any(|target| target.text("name") == name))
    });
    let message = format!(
        "{} of {} are fetched from {} through the backend {name}, for which no BackendTLSPolicy was given: {}",
        endpoint.purpose.word(),
        endpoint.of,
        endpoint.shown(),
        endpoint.purpose.risk()
    );
    let finding = given.finding(
        table::ENDPOINT_PLAINTEXT,
        message,
        "add a BackendTLSPolicy for it, or give it as well",
    );
    (!has_own && !has_policy).then(|| finding.beside(cluster.location()))
}

/// Namespace, name and index of a cluster's name.
fn parts(name: &str) -> Option<(&str, &str, usize)> {
    let mut parts = name.strip_prefix("httproute/")?.split('/');
    let (namespace, route, word, index) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    (word == "rule").then_some((namespace, route, index.parse().ok()?))
}

fn names<'a>(manifest: &Place<'a>) -> (&'a str, &'a str) {
    let metadata = manifest.member("metadata");
    metadata.map_or(("default", ""), |metadata| {
        let namespace = metadata.text("namespace");
        (if namespace.is_empty() { "default" } else { namespace }, metadata.text("name"))
    })
}
