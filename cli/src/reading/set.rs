use std::collections::BTreeMap;

use super::filter::{Filter, Seat};
use super::place::Place;
use crate::finding::{Finding, table};

/// All that the files of one call hold: they are read as one configuration.
#[derive(Debug, Default)]
pub(crate) struct Set<'a> {
    pub(crate) filters: Vec<Filter<'a>>,
    pub(crate) bootstraps: Vec<Bootstrap<'a>>,
    pub(crate) managers: Vec<Manager<'a>>,
    pub(crate) clusters: Vec<Cluster<'a>>,
    /// Their places by name.
    cluster_places: BTreeMap<&'a str, Vec<usize>>,
    /// Tables of routes that are resources of their own.
    pub(crate) tables: Vec<Place<'a>>,
    /// Manifests of Kubernetes other than those that configure a filter.
    pub(crate) manifests: Vec<Manifest<'a>>,
    /// Filters that Envoy gets by themselves.
    pub(super) discovered: Vec<Discovered<'a>>,
    /// What could not be read, and was passed over.
    pub(crate) findings: Vec<Finding>,
}

/// An Envoy bootstrap.
#[derive(Debug)]
pub(crate) struct Bootstrap<'a> {
    pub(crate) place: Place<'a>,
    /// Whether it gets clusters at run time.
    pub(crate) has_dynamic_clusters: bool,
}

/// An HTTP connection manager.
#[derive(Debug)]
pub(crate) struct Manager<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) bootstrap: Option<usize>,
    /// The listener that it is in.
    pub(crate) listener: Option<Place<'a>>,
}

/// A cluster of Envoy's.
#[derive(Debug)]
pub(crate) struct Cluster<'a> {
    pub(crate) place: Place<'a>,
    /// `None` for a resource of a list, which any bootstrap may get.
    pub(crate) bootstrap: Option<usize>,
}

/// A wasm filter that Envoy gets by itself (ECDS).
#[derive(Debug)]
pub(super) struct Discovered<'a> {
    pub(super) name: &'a str,
    pub(super) place: Place<'a>,
    pub(super) seat: Seat<'a>,
    pub(super) bootstrap: Option<usize>,
}

/// A manifest of Kubernetes.
#[derive(Debug)]
pub(crate) struct Manifest<'a> {
    pub(crate) kind: &'a str,
    pub(crate) place: Place<'a>,
}

/// The tables of routes of a manager.
#[derive(Debug, Default)]
pub(crate) struct Tables<'a> {
    pub(crate) read: Vec<Place<'a>>,
    /// What names tables that are in none of the files.
    pub(crate) unread: Vec<Place<'a>>,
}

impl<'a> Set<'a> {
    /// Adds a cluster. Returns its place.
    pub(super) fn add_cluster(&mut self, cluster: Cluster<'a>) -> usize {
        let place = self.clusters.len();
        self.cluster_places.entry(cluster.name()).or_default().push(place);
        self.clusters.push(cluster);
        place
    }

    /// Gives filters that Envoy gets by themselves the places that wait for them.
    pub(super) fn place_discovered(&mut self) {
        for discovered in core::mem::take(&mut self.discovered) {
            let is_it = |filter: &&mut Filter<'a>| {
                filter.extension == discovered.name && matches!(filter.seat, Seat::Unknown)
            };
            match self.filters.iter_mut().find(is_it) {
                Some(filter) => {
                    filter.seat = discovered.seat;
                    filter.bootstrap = filter.bootstrap.or(discovered.bootstrap);
                }
                None => self.findings.push(discovered.place.finding(
                    table::FILTER_NOT_READ,
                    format!(
                        "the wasm filter `{}` comes by discovery, and none of the files holds it: it was not \
                    checked",
                        discovered.name
                    ),
                    "give the file with its TypedExtensionConfig as well",
                )),
            }
        }
    }

    /// The clusters that a filter sees.
    pub(crate) fn clusters_of(&self, filter: &Filter<'a>) -> impl Iterator<Item = &Cluster<'a>> {
        self.clusters.iter().filter(move |cluster| is_seen(cluster, filter))
    }

    /// The cluster of this name, as a filter sees it.
    pub(crate) fn cluster(&self, filter: &Filter<'a>, name: &str) -> Option<&Cluster<'a>> {
        let places = self.cluster_places.get(name).into_iter().flatten();
        let mut clusters = places.filter_map(|place| self.clusters.get(*place));
        clusters.find(|cluster| is_seen(cluster, filter))
    }

    /// The manager that a filter is in.
    pub(crate) fn manager(&self, filter: &Filter<'a>) -> Option<&Manager<'a>> {
        filter.manager().and_then(|place| self.managers.get(place))
    }

    /// The managers of the same bootstrap, or of the same file where there is none.
    pub(crate) fn managers_beside(&self, filter: &Filter<'a>) -> impl Iterator<Item = &Manager<'a>> {
        let (bootstrap, file) = (filter.bootstrap, &filter.config.file().name);
        self.managers.iter().filter(move |manager| {
            manager.bootstrap == bootstrap && (bootstrap.is_some() || manager.place.file().name == *file)
        })
    }

    /// The tables of routes of a manager: its own, the one that it names, or those of its scopes.
    pub(crate) fn tables(&self, manager: &Manager<'a>) -> Tables<'a> {
        let mut tables = Tables::default();
        let named = |name: &str| self.tables.iter().find(|table| table.text("name") == name).cloned();
        tables.read.extend(manager.place.member("route_config"));
        if let Some(rds) = manager.place.member("rds") {
            match named(rds.text("route_config_name")) {
                Some(table) => tables.read.push(table),
                None => tables.unread.push(rds),
            }
        }
        let Some(scoped) = manager.place.member("scoped_routes") else { return tables };
        tables.unread.extend(scoped.member("scoped_rds"));
        let list = scoped.member("scoped_route_configurations_list");
        for scope in list.iter().flat_map(|list| list.list("scoped_route_configurations")) {
            let own = scope.member("route_configuration");
            match own.or_else(|| named(scope.text("route_configuration_name"))) {
                Some(table) => tables.read.push(table),
                None => tables.unread.push(scope),
            }
        }
        tables
    }
}

impl<'a> Cluster<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.place.text("name")
    }
}

/// A filter sees the clusters of its bootstrap, and those that any may get.
fn is_seen(cluster: &Cluster<'_>, filter: &Filter<'_>) -> bool {
    cluster.bootstrap.is_none() || cluster.bootstrap == filter.bootstrap
}
