//! From operations of products, of which a client needs any that covers its request, to routes, of which the most
//! specific decides.
//!
//! Where operations of several products overlap, the route of what they have in common accepts the tokens of each.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use super::path::{Pattern, Resource};

/// An operation, with whose it is.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// The place of the product.
    pub(super) product: usize,
    /// The host, where it is not any.
    pub(super) host: Option<String>,
    pub(super) resource: Resource,
    /// Empty: all.
    pub(super) methods: Vec<String>,
    /// The label of the proxy or service; empty where it makes none.
    pub(super) api: String,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) host: Option<String>,
    pub(super) pattern: Pattern,
    /// Empty: all others.
    pub(super) methods: Vec<String>,
    /// The products whose tokens are accepted; empty: none.
    pub(super) products: Vec<usize>,
    /// The label of the one proxy or service that it is of.
    pub(super) api: Option<String>,
}

/// The routes of these operations.
///
/// # Errors
/// There are too many.
pub(super) fn rows(grants: &[Grant]) -> Result<Vec<Row>> {
    let hosts: BTreeSet<Option<&str>> = grants.iter().map(|grant| grant.host.as_deref()).collect();
    let mut rows = Vec::new();
    for host in hosts {
        // The filter looks among the routes of a host first, so they also have what holds for all hosts.
        let grants: Vec<&Grant> =
            grants.iter().filter(|grant| grant.host.is_none() || grant.host.as_deref() == host).collect();
        for pattern in patterns(&grants)? {
            rows_of(host, &pattern, &grants, &mut rows);
        }
    }
    if rows.len() > MAX_ROWS {
        bail!(
            "{} routes, more than the {MAX_ROWS} that a configuration may have: import fewer products",
            rows.len()
        );
    }
    Ok(rows)
}

/// All patterns, and whatever two of them have in common.
fn patterns(grants: &[&Grant]) -> Result<Vec<Pattern>> {
    let mut all: Vec<Pattern> = Vec::new();
    let mut known = BTreeSet::new();
    for pattern in grants.iter().flat_map(|grant| grant.resource.patterns()) {
        if known.insert(pattern.clone()) {
            all.push(pattern);
        }
    }
    let mut next = 0_usize;
    while let Some(pattern) = all.get(next).cloned() {
        let common: Vec<Pattern> =
            all.iter().take(next).filter_map(|other| pattern.in_common(other)).collect();
        for pattern in common {
            if known.insert(pattern.clone()) {
                all.push(pattern);
            }
        }
        if all.len() > MAX_PATTERNS {
            bail!(
                "the paths overlap in more than {MAX_PATTERNS} ways: import fewer products, or name paths in place of \
                 wildcards"
            );
        }
        next = next.saturating_add(1);
    }
    Ok(known.into_iter().collect())
}

fn rows_of(host: Option<&str>, pattern: &Pattern, grants: &[&Grant], rows: &mut Vec<Row>) {
    let covering: Vec<&&Grant> = grants.iter().filter(|grant| grant.resource.covers(pattern)).collect();
    let products = |method: Option<&str>| -> Vec<usize> {
        let takes = |grant: &&&&Grant| {
            grant.methods.is_empty()
                || method.is_some_and(|method| grant.methods.iter().any(|one| one == method))
        };
        let products: BTreeSet<usize> = covering.iter().filter(takes).map(|grant| grant.product).collect();
        products.into_iter().collect()
    };
    let others = products(None);
    let methods: BTreeSet<&str> =
        covering.iter().flat_map(|grant| &grant.methods).map(String::as_str).collect();
    let mut by_products: BTreeMap<Vec<usize>, Vec<String>> = BTreeMap::new();
    for method in methods {
        let products = products(Some(method));
        if products != others {
            by_products.entry(products).or_default().push(method.to_owned());
        }
    }
    let host = host.map(str::to_owned);
    let is_closed = grants.iter().any(|grant| grant.resource.is_below(pattern));
    let sources =
        grants.iter().filter(|grant| grant.resource.covers(pattern) || grant.resource.is_below(pattern));
    let sources: BTreeSet<&str> = sources.map(|grant| grant.api.as_str()).collect();
    // Of several, none is the route's.
    let api =
        sources.first().filter(|api| sources.len() == 1 && !api.is_empty()).map(|api| (*api).to_owned());
    let row = |methods, products| Row {
        host: host.clone(),
        pattern: pattern.clone(),
        methods,
        products,
        api: api.clone(),
    };
    rows.extend(by_products.into_iter().map(|(products, methods)| row(methods, products)));
    // Without this route, the prefix would take the path itself, too.
    if !others.is_empty() || is_closed {
        rows.push(row(Vec::new(), others));
    }
}

/// As many as a configuration may have.
const MAX_ROWS: usize = 20_000;
/// What is computed in a second: each is held against each.
const MAX_PATTERNS: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(product: usize, resource: &str, methods: &[&str]) -> Grant {
        Grant {
            product,
            host: None,
            resource: Resource::parse("/v1", resource).unwrap(),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            api: "orders".to_owned(),
        }
    }

    fn told(grants: &[Grant]) -> Vec<String> {
        let rows = rows(grants).unwrap();
        rows.iter()
            .map(|row| {
                let Row { pattern, methods, products, .. } = row;
                format!("{} {pattern} {} {products:?}", pattern.kind(), methods.join(","))
            })
            .collect()
    }

    #[test]
    fn the_more_specific_route_accepts_the_products_of_the_less_specific_one_too() {
        let grants = [grant(0, "/orders/*", &["GET"]), grant(1, "/", &[])];
        assert_eq!(
            told(&grants),
            ["prefix /v1  [1]", "path /v1/orders/{v1} GET [0, 1]", "path /v1/orders/{v1}  [1]"]
        );
    }

    #[test]
    fn what_is_below_a_path_does_not_open_the_path() {
        assert_eq!(
            told(&[grant(0, "/orders/**", &[]), grant(1, "/orders", &["GET"])]),
            ["path /v1/orders GET [1]", "path /v1/orders  []", "prefix /v1/orders  [0]"]
        );
    }

    #[test]
    fn where_two_cross_the_route_of_both_accepts_either() {
        assert_eq!(
            told(&[grant(0, "/a/*", &["GET"]), grant(1, "/*/b", &["GET", "POST"])]),
            [
                "path /v1/a/b GET [0, 1]",
                "path /v1/a/b POST [1]",
                "path /v1/a/{v1} GET [0]",
                "path /v1/{v1}/b GET,POST [1]"
            ]
        );
    }
}
