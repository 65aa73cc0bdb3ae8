//! Where tokens may go, and what clients and destinations have to do with each other.

use super::*;
use crate::outbound::{CallerCredential, ChosenBy, Match, Target};
use crate::policy::RequestPath;

const DESTINATION: &str = "outbound.destinations[0]";

/// The block with clients of these names and destinations that are what these say besides.
fn block(clients: &[&str], destinations: &[Json]) -> Json {
    let mut block = outbound();
    let client = |name: &&str| {
        let mut client = block["clients"][0].clone();
        client["name"] = json!(name);
        client
    };
    let clients: Vec<Json> = clients.iter().map(client).collect();
    let destinations: Vec<Json> = destinations
        .iter()
        .map(|more| {
            let mut destination = block["destinations"][0].clone();
            for (name, value) in more.as_object().unwrap() {
                match value.as_object() {
                    Some(fields) => destination[name].as_object_mut().unwrap().extend(fields.clone()),
                    None => destination[name] = value.clone(),
                }
            }
            destination
        })
        .collect();
    block["clients"] = json!(clients);
    block["destinations"] = json!(destinations);
    json!({ "outbound": block })
}

#[test]
fn a_destination_is_what_it_says() {
    let table = &settings(&json!({ "outbound": outbound() })).destinations;
    let [destination] = table.all() else { panic!() };
    assert_eq!((destination.client, destination.route_names.len()), (outbound::ClientId(0), 0));
    assert_eq!(destination.caller_credential, CallerCredential::Deny);
    assert_eq!(destination.chosen_by, ChosenBy::Match);
    // Any path, even one that servers understand differently.
    let target = Target { authority: b"billing.internal", path: None, method: b"GET" };
    assert!(matches!(table.find("billing", None, &target), Match::Destination(_)));

    let narrow = json!({ "match": { "path": "/a/{b}", "methods": ["POST"], "route_names": ["batch"] } });
    let table = &settings(&block(&["billing"], &[narrow])).destinations;
    let found = |path: &str, method: &[u8], route: &[u8]| {
        let path = RequestPath::parse(path.as_bytes()).ok();
        let target = Target { authority: b"billing.internal", path, method };
        matches!(table.find("billing", Some(route), &target), Match::Destination(_))
    };
    assert!(found("/a/x", b"POST", b"batch"));
    assert!(!found("/a", b"POST", b"batch") && !found("/a/x", b"GET", b"batch"));
    assert!(!found("/a/x", b"POST", b"other"));
}

#[test]
fn patterns_are_those_of_routes() {
    let at = "/destinations/0/match";
    let path = format!("{DESTINATION}.match");
    refuses(
        &format!("{at}/path"),
        json!("a"),
        &format!("{path}.path: expected a path without query: it begins with /"),
    );
    refuses(
        &format!("{at}/path"),
        json!("/a//b"),
        &format!("{path}.path: the path is ambiguous: empty_segment"),
    );
    refuses(
        &format!("{at}/prefix"),
        json!("/{a}"),
        &format!("{path}.prefix: a prefix has no variables: use `path`"),
    );
    refuses(
        &format!("{at}/methods"),
        json!(["get"]),
        &format!("{path}.methods[0]: expected a method in upper case, like GET"),
    );
    refuses(
        &format!("{at}/authorities"),
        json!(["*"]),
        &format!("{path}.authorities[0]: expected a host like api.example.com, or *.example.com"),
    );
    let both = json!({ "match": { "path": "/", "prefix": "/" } });
    assert_eq!(
        problems(&block(&["billing"], &[both])),
        [format!("{path}: expected path or prefix, not both")]
    );
    for (list, max, what) in
        [("authorities", 64, "authority"), ("clusters", 64, "cluster"), ("route_names", 64, "route name")]
    {
        let pointer = format!("{at}/{list}");
        let item = |n: usize| json!(format!("a{n}"));
        accepts(&pointer, many(max, item));
        refuses(&pointer, many(max + 1, item), &format!("{path}.{list}: more than {max} entries"));
        refuses(&pointer, json!([]), &format!("{path}.{list}: the list is empty"));
        refuses(&pointer, json!(["a", "a"]), &format!("{path}.{list}[1]: duplicate {what}"));
    }
}

#[test]
fn the_filters_own_calls_go_where_no_token_goes() {
    let problem = "this cluster carries a client's token requests or metadata, and the filter never handles its own \
        calls: give the destination a cluster of its own";
    refuses(
        "/destinations/0/match/clusters",
        json!(["billing", "idp"]),
        &format!("{DESTINATION}.match.clusters[1]: {problem}"),
    );
    let mut document = without("/clients/0", "token_endpoint");
    document["outbound"]["clients"][0]["discovery"] =
        json!({ "issuer": "https://idp.example", "cluster": "meta", "token_cluster": "tokens" });
    assert_eq!(problems(&document), Vec::<String>::new());
    document["outbound"]["destinations"][0]["match"]["clusters"] = json!(["tokens", "billing", "meta"]);
    assert_eq!(problems(&document), [0, 2].map(|n| format!("{DESTINATION}.match.clusters[{n}]: {problem}")));
}

#[test]
fn route_metadata_chooses_only_where_it_is_read_and_by_nothing_else() {
    let at = "/destinations/0/chosen_by";
    let unread = "route metadata is not read: write `route_metadata: read` in `outbound`";
    refuses(at, json!("route_metadata"), &format!("{DESTINATION}.chosen_by: {unread}"));
    let reading = |more: Json| {
        let mut document = block(&["billing"], &[more]);
        document["outbound"]["route_metadata"] = json!("read");
        document
    };
    let outbound = settings(&reading(json!({ "chosen_by": "route_metadata", "caller_credential": "keep" })));
    let [destination] = outbound.destinations.all() else { panic!() };
    assert!(outbound.reads_route_metadata);
    assert_eq!(
        (destination.chosen_by, destination.caller_credential),
        (ChosenBy::RouteMetadata, CallerCredential::Keep)
    );
    for narrow in [
        json!({ "path": "/" }),
        json!({ "prefix": "/a" }),
        json!({ "methods": ["GET"] }),
        json!({ "route_names": ["a"] }),
    ] {
        let problem =
            "the route's metadata chooses this destination: leave path, prefix, methods and route_names out";
        let document = reading(json!({ "chosen_by": "route_metadata", "match": narrow }));
        assert_eq!(problems(&document), [format!("{DESTINATION}.match: {problem}")]);
    }
}

#[test]
fn every_client_is_named_and_every_name_is_a_clients() {
    let of = |client: &str, cluster: &str| json!({ "client": client, "match": { "clusters": [cluster] } });
    assert_eq!(problems(&block(&["a", "b"], &[of("a", "1"), of("b", "2")])), Vec::<String>::new());
    let unused = "no destination names this client: leave it out";
    assert_eq!(problems(&block(&["a", "b"], &[of("a", "1")])), [format!("outbound.clients[1]: {unused}")]);
    let unknown = "outbound.destinations[1].client: unknown client `a?b`";
    assert_eq!(problems(&block(&["a"], &[of("a", "1"), of("a\nb", "2")])), [unknown]);
    // Where a name could not be read, it may be that one.
    let odd = "outbound.clients[1].name: expected a name of a-z, 0-9, _ and -, at most 64 characters";
    assert_eq!(problems(&block(&["a", "B"], &[of("a", "1"), of("B", "2")])), [odd]);
    let twice = "outbound.clients[1].name: duplicate client name";
    assert_eq!(problems(&block(&["a", "a"], &[of("a", "1")])), [twice]);
}

#[test]
fn destinations_that_clash_are_told_beside_other_problems() {
    let of = |fields: Json| json!({ "match": fields });
    let same = |first: usize, second: usize| {
        format!(
            "outbound.destinations[{second}].match: matches the same requests as destinations[{first}]: same \
             cluster, authority, path, method and route name"
        )
    };
    let clash = |all: &[Json]| problems(&block(&["billing"], all));
    assert_eq!(clash(&[of(json!({})), of(json!({ "clusters": ["x", "billing"] }))]), [same(0, 1)]);
    assert_eq!(
        clash(&[of(json!({ "path": "x" })), of(json!({ "prefix": "/" })), of(json!({}))]),
        [
            "outbound.destinations[0].match.path: expected a path without query: it begins with /".to_owned(),
            same(1, 2)
        ]
    );
    let different = [
        of(json!({})),
        of(json!({ "path": "/a" })),
        of(json!({ "prefix": "/a", "methods": ["GET"] })),
        of(json!({ "authorities": ["*.internal"] })),
        of(json!({ "clusters": ["other"] })),
        of(json!({ "route_names": ["batch"] })),
    ];
    assert_eq!(clash(&different), Vec::<String>::new());
}

#[test]
fn clients_that_ask_at_one_endpoint_share_it() {
    let of = |client: &str, cluster: &str| json!({ "client": client, "match": { "clusters": [cluster] } });
    let mut document =
        block(&["a", "b", "c", "d"], &[of("a", "1"), of("b", "2"), of("c", "3"), of("d", "4")]);
    let clients = &mut document["outbound"]["clients"];
    clients[1]["token_endpoint"]["timeout"] = json!("4s");
    clients[2]["token_endpoint"]["uri"] = json!("https://idp.example:443/token");
    clients[3]["token_endpoint"]["timeout"] = json!("4000ms");
    let outbound = settings(&document);
    assert_eq!(outbound.endpoints.len(), 2);
    let places: Vec<usize> = outbound.clients.iter().map(|client| client.endpoint.0).collect();
    assert_eq!(places, [0, 1, 0, 1]);
}

#[test]
fn the_lists_are_bounded_at_their_limits() {
    let names: Vec<String> = (0..=MAX_CLIENTS).map(|n| format!("c{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let destinations: Vec<Json> = (0..=MAX_DESTINATIONS)
        .map(|n| {
            let host = format!("h{n}.internal");
            json!({ "client": names[n % MAX_CLIENTS], "match": { "authorities": [host],
              "clusters": [format!("u{n}")] } })
        })
        .collect();
    let full = block(&names[..MAX_CLIENTS], &destinations[..MAX_DESTINATIONS]).to_string();
    // To compare each with each would take minutes here.
    let outbound = parse(full.as_bytes(), &Secrets).unwrap().outbound.unwrap();
    assert_eq!((outbound.clients.len(), outbound.endpoints.len()), (MAX_CLIENTS, 1));
    assert_eq!(
        problems(&block(&names, &destinations)),
        ["outbound.clients: more than 10000 entries", "outbound.destinations: more than 20000 entries"]
    );
}

#[test]
fn a_table_has_room_for_so_many_combinations() {
    let list = |prefix: &str, n: usize| (0..n).map(|n| json!(format!("{prefix}{n}"))).collect::<Vec<_>>();
    let one = |n: usize, names: usize| {
        json!({ "match": {
            "clusters": [format!("c{n}")], "authorities": list("a", 50), "route_names": list("r", names) } })
    };
    // 40 · 50 · 50 = 100,000.
    let mut all: Vec<Json> = (0..40).map(|n| one(n, 50)).collect();
    assert_eq!(problems(&block(&["billing"], &all)), Vec::<String>::new());
    all.push(json!({}));
    let problem = "outbound.destinations: more than 100000 combinations of cluster, authority and route name: name \
        fewer, or use suffixes like *.internal";
    assert_eq!(problems(&block(&["billing"], &all)), [problem]);
}
