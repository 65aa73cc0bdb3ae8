use attache_harness::http::{Request, Response};
use attache_harness::upstream::Echo;
use serde_json::{Value, json};

use crate::egress::{
    CLIENT, HOST, asserted, bare, call, client, destination, document, downstream, hosts, in_cluster,
    in_listener, setup, upstream,
};
use crate::proxy::{Proxy, VMS, echo, eventually, join};

fn injections(proxy: &Proxy, client: &str, outcome: &str, count: u64) {
    proxy.expect_metric("attache_injections_total", &[("client", client), ("outcome", outcome)], count);
}

fn send(request: Request) -> Response {
    request.send().unwrap()
}

/// What the upstream has seen with this host.
fn seen_with(proxy: &Proxy, host: &str) -> Option<Echo> {
    proxy.upstream().seen().into_iter().find(|echo| echo.header("host") == Some(host))
}

#[test]
fn a_token_goes_only_to_clusters_that_assert_tls_or_are_named() {
    let to = |host: &str, cluster: &str| {
        destination(json!({ "match": { "authorities": [host], "clusters": [cluster] } }))
    };
    let destinations =
        [to("asserted.internal", "asserted"), to("silent.internal", "silent"), to("named.internal", "named")];
    let document = document(
        "downstream",
        &[client(json!({}))],
        &destinations,
        json!({ "outbound": { "plaintext_clusters": ["named"] } }),
    );
    let route = |name: &str| {
        json!({ "name": name, "domains": [format!("{name}.internal")], "routes": [
            { "match": { "prefix": "/" }, "route": { "cluster": name } }] })
    };
    let routes =
        json!({ "route_config": { "virtual_hosts": [route("asserted"), route("silent"), route("named")] } });
    let other = json!({ "metadata": { "filter_metadata": { "attache": { "tls": "yes" } } } });
    let proxy = setup()
        .cluster("asserted", asserted())
        .cluster("silent", other)
        .cluster("named", json!({}))
        .listener(downstream("egress", document).manager(routes))
        .start();
    let get = |host: &str| send(proxy.get("egress", "/").header("host", host));
    for host in ["asserted.internal", "named.internal"] {
        assert!(echo(&get(host)).bearer().is_some(), "{host}");
    }
    let refused = get("silent.internal");
    assert_eq!((refused.status, refused.header("retry-after")), (503, None));
    assert!(seen_with(&proxy, "silent.internal").is_none());
    injections(&proxy, "billing", "injected", 2);
    injections(&proxy, "billing", "plaintext", 1);
    let log = proxy.envoy().logs();
    assert!(log.contains("plaintext") && log.contains("client=billing"), "{log}");
}

#[test]
fn a_route_that_leads_elsewhere_gets_no_token() {
    // The host is the destination's, the cluster is not.
    let to_another = json!({ "route": { "cluster": "upstream" } });
    let setup = in_listener(json!({}), json!({}));
    let document = document(
        "downstream",
        &[client(json!({}))],
        &[destination(json!({}))],
        json!({ "outbound": { "unmatched": "deny" } }),
    );
    let proxy = setup
        .listener(downstream("elsewhere", passing()).manager(hosts(to_another.clone())))
        .listener(downstream("strict", document).manager(hosts(to_another)))
        .start();
    assert!(echo(&send(call(&proxy, "egress", "/"))).bearer().is_some());
    assert_eq!(echo(&send(call(&proxy, "elsewhere", "/"))).header("authorization"), None);
    // Nor does the cluster alone do.
    assert_eq!(
        echo(&send(proxy.get("egress", "/").header("host", "billing.internal.example")))
            .header("authorization"),
        None
    );
    let refused = send(call(&proxy, "strict", "/"));
    assert_eq!(refused.status, 403);
    injections(&proxy, "none", "unmatched", 1);
}

fn passing() -> Value {
    document("downstream", &[client(json!({}))], &[destination(json!({}))], json!({}))
}

#[test]
fn a_credential_of_the_callers_is_refused_replaced_or_kept_as_configured() {
    let to = |word: &str| {
        let authorities = [format!("{word}.internal")];
        destination(json!({
            "match": { "authorities": authorities, "clusters": ["billing"] }, "caller_credential": word }))
    };
    let destinations = [to("deny"), to("replace"), to("keep"), destination(json!({}))];
    let document = document("downstream", &[client(json!({}))], &destinations, json!({}));
    let routes = json!({ "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
        { "match": { "prefix": "/" }, "route": { "cluster": "billing" } }] }] } });
    let proxy = setup()
        .cluster("billing", asserted())
        .listener(downstream("egress", document).manager(routes))
        .start();
    let with = |host: &str, value: &str| {
        send(proxy.get("egress", "/").header("host", host).header("authorization", value))
    };
    for own in ["Bearer of-the-caller", "Basic eDp5", ""] {
        for host in ["deny.internal", HOST] {
            assert_eq!(with(host, own).status, 400, "{host} {own:?}");
        }
        let replaced = echo(&with("replace.internal", own));
        assert!(proxy.issuer("idp").is_live(replaced.bearer().unwrap()));
        assert_eq!(echo(&with("keep.internal", own)).header("authorization"), Some(own));
    }
    assert!(echo(&send(proxy.get("egress", "/").header("host", "keep.internal"))).bearer().is_some());
    // Two, of which Envoy makes one.
    let two = proxy.get("egress", "/").header("host", "replace.internal");
    let two = echo(&send(two.header("authorization", "Bearer one").header("authorization", "Bearer two")));
    assert!(proxy.issuer("idp").is_live(two.bearer().unwrap()));
    injections(&proxy, "billing", "caller_credential", 6);
    injections(&proxy, "billing", "kept", 3);
    injections(&proxy, "billing", "injected", 5);
}

#[test]
fn a_route_chooses_the_client_by_its_metadata_or_by_its_name() {
    let named = |name: &str, scope: &str| client(json!({ "name": name, "scopes": [scope] }));
    let clients = [
        named("reader", "invoices:read"),
        named("writer", "invoices:write"),
        named("batch", "invoices:read"),
    ];
    let elsewhere = json!({ "match": { "authorities": ["other.internal"] }, "client": "batch" });
    let destinations = [
        destination(json!({ "client": "reader" })),
        destination(json!({ "client": "writer", "chosen_by": "route_metadata" })),
        destination(json!({ "client": "batch", "match": { "route_names": ["nightly"] } })),
        destination(elsewhere),
    ];
    let document =
        document("downstream", &clients, &destinations, json!({ "outbound": { "route_metadata": "read" } }));
    let route = |path: &str, more: Value| {
        let mut route = json!({ "match": { "path": path }, "route": { "cluster": "billing" } });
        join(&mut route, more);
        route
    };
    let says =
        |client: &str| json!({ "metadata": { "filter_metadata": { "attache": { "client": client } } } });
    let routes = json!({ "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
        route("/read", json!({})),
        route("/write", says("writer")),
        route("/nightly", json!({ "name": "nightly" })),
        route("/nobody", says("nobody")),
        route("/empty", says("")),
        // A client that may not go to this host, though it may go to this cluster.
        route("/forbidden", json!({ "metadata": { "filter_metadata": { "attache": { "client": "batch" } } } })),
    ] }] } });
    let proxy = setup()
        .cluster("billing", asserted())
        .listener(downstream("egress", document).manager(routes))
        .start();
    let scope = |path: &str| {
        use base64ct::Encoding as _;
        let seen = echo(&send(call(&proxy, "egress", path)));
        let claims = seen.bearer().unwrap().split('.').nth(1).unwrap().to_owned();
        let claims = base64ct::Base64UrlUnpadded::decode_vec(&claims).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        (claims["client_id"].as_str().unwrap().to_owned(), claims["scope"].as_str().unwrap().to_owned())
    };
    let of = |scope: &str| (CLIENT.to_owned(), scope.to_owned());
    assert_eq!(scope("/read"), of("invoices:read"));
    assert_eq!(scope("/write"), of("invoices:write"));
    assert_eq!(scope("/nightly"), of("invoices:read"));
    for (path, client, outcome) in
        [("/nobody", "none", "client_unknown"), ("/empty", "none", "client_unknown")]
    {
        assert_eq!(send(call(&proxy, "egress", path)).status, 503, "{path}");
        proxy.expect_metric(
            "attache_injections_total",
            &[("client", client), ("outcome", outcome)],
            if path == "/empty" { 2 } else { 1 },
        );
    }
    let forbidden = proxy.get("egress", "/forbidden").header("host", "third.internal");
    assert_eq!(send(forbidden).status, 503);
    injections(&proxy, "batch", "not_allowed", 1);
    injections(&proxy, "reader", "injected", 1);
    injections(&proxy, "writer", "injected", 1);
    injections(&proxy, "batch", "injected", 1);
}

#[test]
fn a_mirror_gets_the_token_in_the_downstream_position_and_none_in_the_upstream_position() {
    let mirroring = json!({ "route": { "request_mirror_policies": [{ "cluster": "mirror" }] } });
    let shadow = format!("{HOST}-shadow");
    let mirrored = |proxy: &Proxy| {
        assert!(echo(&send(call(proxy, "egress", "/"))).bearer().is_some());
        let seen = eventually("the mirror's request", || seen_with(proxy, &shadow));
        seen.bearer().map(str::to_owned)
    };
    let downstream = setup()
        .cluster("billing", asserted())
        .cluster("mirror", json!({}))
        .listener(downstream("egress", passing()).manager(hosts(mirroring.clone())))
        .start();
    // What docs/decisions/egress-guard.md warns of.
    assert!(mirrored(&downstream).is_some_and(|token| downstream.issuer("idp").is_live(&token)));
    drop(downstream);
    let in_cluster = in_cluster(json!({}), json!({}))
        .cluster("mirror", json!({}))
        .listener(bare("mirroring").manager(hosts(mirroring)))
        .start();
    let get = in_cluster.get("mirroring", "/").header("host", HOST);
    assert!(echo(&send(get)).bearer().is_some());
    let seen = eventually("the mirror's request", || seen_with(&in_cluster, &shadow));
    assert_eq!(seen.header("authorization"), None);
}

/// What arrives where a redirect of the upstream's to a host that gets no token leads, when Envoy follows it by itself.
fn redirected(proxy: &Proxy, listener: &str) -> Echo {
    proxy.upstream().redirect("/moved", "http://other.internal/landed");
    let landed = echo(&send(call(proxy, listener, "/moved")));
    assert_eq!((landed.path.as_str(), landed.header("host")), ("/landed", Some("other.internal")));
    let first = seen_with(proxy, HOST).unwrap();
    assert!(proxy.issuer("idp").is_live(first.bearer().unwrap()), "the first host gets the token");
    landed
}

fn following(more: Value) -> Value {
    let mut policy = json!({ "max_internal_redirects": 1, "redirect_response_codes": [302] });
    join(&mut policy, more);
    json!({ "route": { "internal_redirect_policy": policy } })
}

#[test]
fn a_redirect_that_envoy_follows_to_another_host_loses_the_token_in_the_downstream_position() {
    let proxy = setup()
        .cluster("billing", asserted())
        .listener(downstream("egress", passing()).manager(hosts(following(json!({})))))
        .start();
    assert_eq!(redirected(&proxy, "egress").header("authorization"), None);
    injections(&proxy, "none", "stripped", 1);
    // To the same host it goes again, and is not taken for the caller's own.
    proxy.upstream().redirect("/moved", &format!("http://{HOST}/landed"));
    let landed = echo(&send(call(&proxy, "egress", "/moved")));
    assert_eq!((landed.path.as_str(), landed.bearer().is_some()), ("/landed", true));
}

/// Envoy has one set of headers for all attempts and redirects (docs/decisions/egress-guard.md).
#[test]
fn a_redirect_that_envoy_follows_takes_the_token_along_in_the_upstream_position_unless_it_meets_a_guard() {
    let document = document("upstream", &[client(json!({}))], &[destination(json!({}))], json!({}));
    let to = |cluster: &str, guard: Value| {
        let mut manager = hosts(following(guard));
        manager["route_config"]["virtual_hosts"][1]["routes"][0]["route"]["cluster"] = cluster.into();
        manager
    };
    let same_host = json!({ "predicates": [{
        "name": "envoy.internal_redirect_predicates.allow_listed_routes",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig",
            "allowed_route_names": ["billing"],
        },
    }] });
    let proxy = setup()
        .cluster("billing", upstream("egress", document.clone()))
        .cluster("with-filter", upstream("egress", document))
        .listener(bare("open").manager(to("upstream", json!({}))))
        .listener(bare("filtered").manager(to("with-filter", json!({}))))
        .listener(bare("listed").manager(to("upstream", same_host)))
        .start();
    assert!(redirected(&proxy, "open").bearer().is_some());
    // Each cluster's filter is one of its own, and knows of the token a moment later.
    let taken = [("client", "billing"), ("result", "adopted")];
    proxy.expect_metric("attache_shared_tokens_total", &taken, 2 * VMS - 1);
    let landed = redirected(&proxy, "filtered");
    assert_eq!(landed.header("authorization"), None);
    injections(&proxy, "none", "stripped", 1);
    proxy.upstream().forget();
    let not_followed = send(call(&proxy, "listed", "/moved"));
    assert_eq!(
        (not_followed.status, not_followed.header("location")),
        (302, Some("http://other.internal/landed"))
    );
    assert!(seen_with(&proxy, "other.internal").is_none());
}
