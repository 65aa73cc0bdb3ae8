//! Envoy's tables of routes.

use crate::reading::Place;

/// Where a route leads.
pub(crate) struct Clusters<'a> {
    /// The clusters that it names.
    pub(crate) names: Vec<Place<'a>>,
    /// Whether the request says which cluster it is, so that it may be any.
    pub(crate) is_any: bool,
}

/// Calls `look` with the virtual host and the route, for each route of these tables.
pub(crate) fn each_route<'a>(tables: &[Place<'a>], mut look: impl FnMut(&Place<'a>, &Place<'a>)) {
    for host in tables.iter().flat_map(|table| table.list("virtual_hosts")) {
        routes_of(&host).read.iter().for_each(|route| look(&host, route));
    }
}

/// The routes of a virtual host.
#[derive(Default)]
pub(crate) struct Routes<'a> {
    pub(crate) read: Vec<Place<'a>>,
    /// Actions of its matcher that may lead to routes, in a form that is not known here.
    pub(crate) unread: Vec<Place<'a>>,
}

/// All routes of a virtual host: those of its list, and those of its tree of matchers.
pub(crate) fn routes_of<'a>(host: &Place<'a>) -> Routes<'a> {
    let mut routes = Routes { read: host.list("routes").collect(), unread: Vec::new() };
    if let Some(matcher) = host.member("matcher") {
        actions(&matcher, &mut routes);
    }
    routes
}

/// Looks for `action` wherever a matcher may have one: lists, maps of values, and matchers in matchers.
fn actions<'a>(place: &Place<'a>, routes: &mut Routes<'a>) {
    for (name, value) in place.members() {
        if name != "action" {
            actions(&value, routes);
            continue;
        }
        let config = value.member("typed_config");
        match config.map(|config| (config.text("@type").rsplit('/').next().unwrap_or_default(), config)) {
            Some(("envoy.config.route.v3.Route", route)) => routes.read.push(route),
            Some(("envoy.config.route.v3.RouteList", list)) => routes.read.extend(list.list("routes")),
            Some(_) | None => routes.unread.push(value),
        }
    }
    place.items().for_each(|item| actions(&item, routes));
}

/// Where an action of a route leads.
pub(crate) fn clusters_of<'a>(action: &Place<'a>) -> Clusters<'a> {
    let weighted = action.member("weighted_clusters");
    let weighted = weighted.iter().flat_map(|weighted| weighted.list("clusters"));
    let named = weighted.filter_map(|cluster| cluster.member("name"));
    let names = named.chain(action.member("cluster")).collect();
    let by_request = ["cluster_header", "cluster_specifier_plugin", "inline_cluster_specifier_plugin"];
    Clusters { names, is_any: by_request.iter().any(|one| action.member(one).is_some()) }
}
