//! Envoy's tables of routes.

use crate::reading::Place;

/// Where a route leads.
pub(crate) struct Clusters<'a> {
    /// The clusters that it names.
    pub(crate) names: Vec<Place<'a>>,
    /// Whether the request says which cluster it is, so that it may be any.
    pub(crate) is_any: bool,
}

/// Calls `look` with the virtual host and the route, for each route of a table.
pub(crate) fn each_route<'a>(table: Option<&Place<'a>>, mut look: impl FnMut(&Place<'a>, &Place<'a>)) {
    for host in table.iter().flat_map(|table| table.list("virtual_hosts")) {
        host.list("routes").for_each(|route| look(&host, &route));
    }
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
