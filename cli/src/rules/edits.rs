//! What the filter edits in a request, held against the Envoy routes around it: after an edit Envoy chooses the route
//! again, and the filter does not see which one.

use std::collections::BTreeSet;

use attache::config::Config;
use attache::inbound::{self, AfterVerification, ReservedHeaders, TokenSource};
use attache::outbound::Position;

use super::routes::each_route;
use super::subject::Subject;
use crate::finding::{Finding, table};
use crate::reading::Place;

/// What is edited, where something has been decided by Envoy's route before.
#[derive(Default)]
struct Edited {
    headers: BTreeSet<String>,
    parameters: BTreeSet<String>,
}

/// Each route that is chosen by what the filter edits, and each from which Envoy sends an edited request through the
/// filter again.
pub(crate) fn check(subject: &Subject<'_, '_>, config: &Config) -> Vec<Finding> {
    let edited = edited(config);
    let loses = config.inbound.as_deref().and_then(loss_by_redirect);
    let mut found = Vec::new();
    let manager = subject.set.manager(subject.filter);
    let tables = manager.map(|manager| subject.set.tables(manager).read).unwrap_or_default();
    each_route(&tables, |_, route| {
        found.extend(edited.chosen_by(route).into_iter().map(|what| {
            route.finding(
                table::ROUTE_DEPENDS_ON_EDIT,
                format!(
                    "it depends on {what}, which the filter edits: Envoy would choose the route again, and the \
                    request would take \
                     another one than it was judged by"
                ),
                "do not match on it",
            )
        }));
        let policy = route.at(&["route", "internal_redirect_policy"]);
        found.extend(policy.zip(loses).map(|(policy, (why, advice))| {
            let message = format!("a redirect that Envoy follows goes through the filter again, {why}");
            policy.finding(table::REDIRECT_DENIED, message, advice)
        }));
    });
    found
}

fn edited(config: &Config) -> Edited {
    let mut edited = Edited::default();
    let is_downstream = |position| position == Position::Downstream;
    let outbound = config.outbound.as_deref().filter(|outbound| is_downstream(outbound.position));
    if let Some(outbound) = outbound {
        edited.headers.extend(outbound.clients.iter().map(|client| client.header.to_string()));
    }
    // Elsewhere nothing depends on Envoy's route.
    let Some(inbound) =
        config.inbound.as_deref().filter(|inbound| inbound.reserved_headers != ReservedHeaders::Replace)
    else {
        return edited;
    };
    edited.headers.extend(inbound.own_headers().map(ToString::to_string));
    if inbound.after_verification == AfterVerification::Strip {
        for source in &inbound.sources {
            match source {
                TokenSource::Header { name, .. } => drop(edited.headers.insert(name.to_string())),
                TokenSource::Cookie { .. } => drop(edited.headers.insert("cookie".to_owned())),
                TokenSource::Query { name } => drop(edited.parameters.insert(name.to_string())),
            }
        }
    }
    edited
}

impl Edited {
    /// What of it a route depends on.
    fn chosen_by(&self, route: &Place<'_>) -> Vec<String> {
        let matches = route.member("match");
        let names = |kind| {
            let matchers = matches.iter().flat_map(move |matches| matches.list(kind));
            matchers.map(|matcher| matcher.text("name"))
        };
        let cluster = route.member("route").map(|action| action.text("cluster_header"));
        let headers = names("headers").chain(cluster).map(str::to_ascii_lowercase);
        let headers =
            headers.filter(|name| self.headers.contains(name)).map(|name| format!("the header {name}"));
        let parameters = names("query_parameters").filter(|name| self.parameters.contains(*name));
        headers.chain(parameters.map(|name| format!("the query parameter {name}"))).collect()
    }
}

/// What a request lacks, or has too much, when it comes through the filter for the second time, and what to do.
fn loss_by_redirect(inbound: &inbound::Settings) -> Option<(&'static str, &'static str)> {
    if inbound.after_verification == AfterVerification::Strip {
        return Some((
            "and brings no token any more (401)",
            "take internal_redirect_policy away, or write `after_verification: forward`",
        ));
    }
    let is_forged =
        inbound.reserved_headers != ReservedHeaders::Replace && inbound.own_headers().next().is_some();
    is_forged.then_some((
        "and brings the headers of `forward_claims` that the filter has set (400), which Envoy's \
        early_header_mutation_extensions \
         do not see",
        "take internal_redirect_policy away",
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]
mod tests {
    use crate::check::check_text;
    use crate::finding::table;

    const OUTBOUND: &str = r#"
                      position: downstream
                      clients:
                      - name: billing
                        token_endpoint: { uri: "https://idp.example/token", cluster: idp }
                        client_id: orders
                        authentication: { tls_client_auth: {} }
                        header: { name: X-Api-Token }
                      destinations:
                      - match: { authorities: [billing.internal], clusters: [billing] }
                        client: billing
                      unmatched: pass"#;

    fn bootstrap(inbound: &str, outbound: &str, route: &str) -> Vec<String> {
        let outbound = if outbound.is_empty() { String::new() } else { format!("outbound: {outbound}") };
        let text = format!(
            r#"
static_resources:
  listeners:
  - filter_chains:
    - filters:
      - typed_config:
          http_filters:
          - typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: attache
                configuration:
                  value:
                    inbound:
                      issuers:
                      - name: corp
                        issuer: https://idp.example
                        audiences: any
                        keys: {{ jwks: {{ uri: "https://idp.example/jwks", cluster: idp }} }}
                      default: deny
                      {inbound}
                    {outbound}
          route_config:
            virtual_hosts:
            - domains: ["*"]
              routes:
              - match: {{ prefix: / }}
                route: {{ cluster: billing }}
              - {route}
"#
        );
        let rules = [table::ROUTE_DEPENDS_ON_EDIT, table::REDIRECT_DENIED];
        let findings =
            check_text("-", &text).findings.into_iter().filter(|finding| rules.contains(&finding.rule));
        findings.map(|finding| format!("{}: {}", finding.location.path, finding.message)).collect()
    }

    const CLAIMS: &str = "forward_claims: [{ claim: sub, header: x-auth-subject }]";

    /// `more` in the block `inbound`, in its own lines.
    fn lines(more: &[&str]) -> String {
        more.join("\n                      ")
    }

    #[test]
    fn a_route_that_depends_on_what_the_filter_edits_is_refused() {
        let read = lines(&[CLAIMS, "route_metadata: read"]);
        let by_header = |name: &str| {
            format!(
                r#"{{ match: {{ prefix: /x, headers: [{{ name: {name}, present_match: true }}] }}, route: {{ cluster: x }} }}"#
            )
        };
        let place = "route_config.virtual_hosts[0].routes[1]: it depends on the header x-auth-subject, ";
        for (inbound, outbound) in [(&*read, ""), (CLAIMS, OUTBOUND)] {
            let problems = bootstrap(inbound, outbound, &by_header("X-Auth-Subject"));
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(place), "{problems:?}");
            assert!(bootstrap(inbound, outbound, &by_header("x-tenant")).is_empty());
        }
        // Where nothing depends on the route, that is how to route by a claim.
        assert!(bootstrap(CLAIMS, "", &by_header("x-auth-subject")).is_empty());
        let by_cluster = "{ match: { prefix: /x }, route: { cluster_header: x-auth-subject } }";
        assert_eq!(bootstrap(CLAIMS, OUTBOUND, by_cluster).len(), 1);
        assert_eq!(bootstrap(CLAIMS, OUTBOUND, &by_header("x-api-token")).len(), 1);
    }

    #[test]
    fn a_route_that_depends_on_a_token_that_is_stripped_is_refused_beside_an_outbound_half() {
        let strip = r"token: { after_verification: strip, sources: [{ header: { name: x-token } }, { query: { name: t } }, { cookie: { name: c } }] }";
        for (matches, what) in [
            ("headers: [{ name: x-token, present_match: true }]", "the header x-token"),
            ("headers: [{ name: cookie, present_match: true }]", "the header cookie"),
            ("queryParameters: [{ name: t, presentMatch: true }]", "the query parameter t"),
        ] {
            let route = format!("{{ match: {{ prefix: /x, {matches} }}, route: {{ cluster: x }} }}");
            let problems = bootstrap(strip, OUTBOUND, &route);
            assert!(problems.len() == 1 && problems[0].contains(what), "{problems:?}");
            assert!(bootstrap(strip, "", &route).is_empty());
            assert!(bootstrap("", OUTBOUND, &route).is_empty());
        }
    }

    #[test]
    fn a_redirect_that_meets_its_own_headers_or_misses_its_token_is_refused() {
        let follows = "{ match: { prefix: /x }, route: { cluster: x, internal_redirect_policy: {} } }";
        let strip = "token: { after_verification: strip }";
        let problems = bootstrap(strip, "", follows);
        assert!(
            problems.len() == 1 && problems[0].contains("brings no token any more (401)"),
            "{problems:?}"
        );
        let read = lines(&[CLAIMS, "route_metadata: read"]);
        for (inbound, outbound) in [(&*read, ""), (CLAIMS, OUTBOUND)] {
            let problems = bootstrap(inbound, outbound, follows);
            assert!(
                problems.len() == 1 && problems[0].contains("that the filter has set (400)"),
                "{problems:?}"
            );
        }
        assert!(bootstrap(CLAIMS, "", follows).is_empty(), "they are replaced");
        assert!(bootstrap("", "", follows).is_empty());
    }
}
