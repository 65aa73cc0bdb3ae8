//! Where the filter stands, and whether every request meets it.

use super::routes::routes_of;
use super::subject::Subject;
use crate::finding::{Finding, table};
use crate::reading::{Place, Seat};

/// What is found of a filter's place.
pub(crate) fn check(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let mut found = fail_open(subject);
    found.extend(position(subject));
    found.extend(order(subject));
    found.extend(disabled(subject));
    found.extend(chains(subject));
    found
}

fn fail_open(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let plugin = &subject.filter.plugin;
    // The numbers are those of Envoy and of Istio.
    let words = [("failure_policy", 3), ("failStrategy", 1)].into_iter();
    let words = words.filter_map(|(name, number)| {
        plugin.member(name).filter(|policy| policy.is_value("FAIL_OPEN", number))
    });
    let flags = ["fail_open", "failOpen"].into_iter().filter(|name| plugin.flag(name) == Some(true));
    let flags = flags.filter_map(|name| plugin.member(name)).take(1);
    let has_inbound = subject.filter.config.member("inbound").is_some();
    let what = if has_inbound {
        "requests pass without a token"
    } else {
        "requests pass unguarded and without a token"
    };
    words
        .chain(flags)
        .map(|place| {
            place.finding(
                table::FAIL_OPEN,
                format!("while the module cannot be loaded or has failed, {what}"),
                "use FAIL_RELOAD, or FAIL_CLOSED where the host does not have it (Envoy Gateway: `failOpen: false`)",
            )
        })
        .collect()
}

fn position(subject: &Subject<'_, '_>) -> Option<Finding> {
    let config = &subject.filter.config;
    let position = config.at(&["outbound", "position"]);
    let is = |word: &str| position.as_ref().is_some_and(|position| position.as_str() == Some(word));
    let (place, what, advice) = match &subject.filter.seat {
        Seat::Cluster { .. } if config.member("inbound").is_some() => (
            config.member("inbound"),
            "the filter stands in a cluster, behind the routes and once for each attempt: rules for inbound requests \
            do not hold there",
            "put it into the `http_filters` of the listener's connection manager",
        ),
        Seat::Cluster { .. } if is("downstream") => (
            position,
            "the filter stands in a cluster: what it guards against in a listener is not what can happen there",
            "write `position: upstream`",
        ),
        Seat::Listener { .. } if is("upstream") => (
            position,
            "the filter stands in a listener: mirrors get the token, and a redirect or another route takes it along",
            "write `position: downstream`, or put the filter into the cluster's `http_filters`",
        ),
        Seat::Cluster { .. } | Seat::Listener { .. } | Seat::Unknown => return None,
    };
    Some(place?.finding(table::POSITION_MISMATCH, what, advice))
}

/// The list that the filter is in, and its place there.
fn list<'a>(subject: &Subject<'_, 'a>) -> Option<(Vec<Place<'a>>, usize)> {
    let own = subject.filter.entry()?;
    let filters = match &subject.filter.seat {
        Seat::Listener { .. } => {
            subject.set.manager(subject.filter)?.place.list("http_filters").collect::<Vec<_>>()
        }
        Seat::Cluster { cluster, .. } => {
            let cluster = subject.set.clusters.get((*cluster)?)?;
            super::transport::http_options(&cluster.place)?.list("http_filters").collect()
        }
        Seat::Unknown => return None,
    };
    let place = filters.iter().position(|filter| filter.path() == own.path())?;
    Some((filters, place))
}

fn order(subject: &Subject<'_, '_>) -> Option<Finding> {
    let (filters, own) = list(subject)?;
    let is_last = |filter: &Place<'_>| {
        let kind = filter.member("typed_config").map_or("", |config| config.text("@type"));
        kind.ends_with("router.v3.Router") || kind.ends_with("upstream_codec.v3.UpstreamCodec")
    };
    let last = filters.iter().position(is_last).filter(|last| *last < own)?;
    let name = filters.get(last)?.text("name");
    Some(subject.filter.entry()?.finding(
        table::FILTER_AFTER_ROUTER,
        format!("the filter stands behind {name}, which has to be the last: Envoy does not start"),
        format!("move it before {name}"),
    ))
}

fn disabled(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let Some(entry) = subject.filter.entry() else { return Vec::new() };
    let mut found = Vec::new();
    if entry.flag("disabled") == Some(true) {
        let flag = entry.member("disabled");
        found.extend(flag.map(|flag| {
            flag.finding(
                table::FILTER_DISABLED,
                "the filter runs only where a route switches it on: all others are open",
                "remove `disabled`, and use `public` for routes that are meant to be open",
            )
        }));
    }
    let config = entry.member("typed_config");
    if let Some(config) = config.filter(|config| config.text("@type").ends_with("ExtensionWithMatcher")) {
        found.push(config.finding(
            table::FILTER_CONDITIONAL,
            "the filter runs only for requests that a matcher does not skip",
            "let the filter's own routes decide, and remove the matcher",
        ));
    }
    let Some(manager) = subject.set.manager(subject.filter) else { return found };
    let tables = subject.set.tables(manager);
    let mut unread = tables.unread;
    let mut places = Vec::new();
    for table in tables.read {
        for host in table.list("virtual_hosts") {
            let routes = routes_of(&host);
            unread.extend(routes.unread);
            for route in &routes.read {
                let weighted = route.at(&["route", "weighted_clusters"]);
                places.extend(weighted.iter().flat_map(|weighted| weighted.list("clusters")));
            }
            places.push(host);
            places.extend(routes.read);
        }
        unread.extend(table.member("vhds"));
        places.push(table);
    }
    found.extend(unread.into_iter().map(|place| {
        place.finding(
            table::ROUTES_NOT_READ,
            "there are routes here that none of the files has, or that are not known here: whether one switches the \
            filter off, or sends a token elsewhere, was not checked",
            "give the file that has them as well, or check them yourself and allow this by a comment",
        )
    }));
    for place in places {
        let own = place.at(&["typed_per_filter_config", entry.text("name")]);
        if let Some(own) = own.filter(|own| own.flag("disabled") == Some(true)) {
            found.push(own.finding(
                table::FILTER_DISABLED,
                "the filter is switched off here: its rules do not hold for these requests",
                "remove it, and write a route with `public: {}` into the filter's configuration where that is meant",
            ));
        }
    }
    found
}

/// Chains of the same listener that lead to HTTP without the filter.
fn chains(subject: &Subject<'_, '_>) -> Vec<Finding> {
    let config = &subject.filter.config;
    let manager = subject.set.manager(subject.filter).filter(|_| config.member("inbound").is_some());
    let Some(listener) = manager.and_then(|manager| manager.listener.as_ref()) else { return Vec::new() };
    let chains = listener.list("filter_chains").chain(listener.member("default_filter_chain"));
    let is_in = |place: &Place<'_>, chain: &Place<'_>| {
        place.file().name == chain.file().name && place.path().starts_with(&format!("{}.", chain.path()))
    };
    let mut found = Vec::new();
    for chain in chains {
        let open =
            subject.set.managers.iter().find(|manager| is_in(&manager.place, &chain) && leads_on(manager));
        let has_filter = subject.set.filters.iter().any(|filter| is_in(&filter.config, &chain));
        if let Some(manager) = open.filter(|_| !has_filter) {
            found.push(
                manager
                    .place
                    .finding(
                        table::CHAIN_WITHOUT_FILTER,
                        "this filter chain of the same listener serves requests without the filter",
                        "add the filter here as well",
                    )
                    .beside(
                        subject.filter.entry().map_or_else(|| subject.filter.location(), Place::location),
                    ),
            );
        }
    }
    found
}

/// Whether a manager does more than redirect.
fn leads_on(manager: &crate::reading::Manager<'_>) -> bool {
    let Some(table) = manager.place.member("route_config") else { return true };
    let mut hosts = table.list("virtual_hosts").map(|host| routes_of(&host));
    hosts.any(|routes| {
        !routes.unread.is_empty() || routes.read.iter().any(|route| route.member("route").is_some())
    })
}
