//! From Apigee's API products to routes.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::options::{Options, ScopeUse};
use super::path::Resource;
use super::product::{Product, Source, listed, read, shown};
use super::table::{Grant, rows};
use super::yaml::{label, name_of, unique, write};
use crate::document::Document;

/// A configuration, and what it does not have.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The configuration, in YAML.
    pub text: String,
    /// What does not carry over, a line each.
    pub notes: Vec<String>,
    /// How many products and routes it has.
    pub counts: (usize, usize),
    /// Whether a request that Apigee lets through is denied.
    pub is_short: bool,
}

/// Makes a configuration of an export.
///
/// # Errors
/// The export cannot be read, an option is missing for it, or nothing of it carries over.
pub fn apigee(export: &str, options: &Options) -> Result<Imported> {
    let mut products = read(export)?;
    let all = products.len();
    if let Some(environment) = &options.environment {
        products
            .retain(|product| product.environments.is_empty() || product.environments.contains(environment));
    }
    if products.is_empty() {
        bail!("none of the {all} API products is to be imported");
    }
    let base_paths = base_paths(&products, options)?;
    let mut names = BTreeSet::new();
    let mut requirements = Vec::new();
    let mut grants = Vec::new();
    for (place, product) in products.iter_mut().enumerate() {
        let needs_scope = options.product_claim.is_none() && !options.opens_unscoped;
        if needs_scope && product.scopes.is_empty() {
            product.lose(
                "it has no scopes, so nothing tells its tokens from others: left out; give it a scope, or see \
                 --product-claim and --unscoped"
                    .to_owned(),
            );
        } else if product.scopes.len() > MAX_SCOPES {
            product.lose(format!("it has more than {MAX_SCOPES} scopes: left out"));
        } else {
            take_operations(place, product, &base_paths, &mut grants);
        }
        let has_grant = grants.last().is_some_and(|grant: &Grant| grant.product == place);
        requirements.push(has_grant.then(|| {
            let name = name_of(&product.name);
            let name = unique(if name.is_empty() { "product" } else { &name }, &names);
            names.insert(name.clone());
            name
        }));
    }
    if options.product_claim.is_none() {
        note_shared_scopes(&mut products, options.scopes);
    }
    let rows = rows(&grants)?;
    let is_empty = rows.iter().all(|row| row.products.is_empty());
    let notes: Vec<String> = products
        .iter()
        .flat_map(|product| product.notes.iter().map(|note| format!("{}: {note}", shown(&product.name))))
        .collect();
    if is_empty {
        bail!("nothing carries over:\n{}", notes.join("\n"));
    }
    let text = write(options, &products, &requirements, &rows);
    for document in Document::parse_all(&text)? {
        if let Err(errors) = document.compile() {
            bail!("the filter does not take the configuration that this comes to:\n{errors}");
        }
    }
    let is_short = products.iter().any(|product| product.is_short);
    Ok(Imported { text, notes, counts: (products.len(), rows.len()), is_short })
}

/// The base path of each proxy that is named.
fn base_paths(products: &[Product], options: &Options) -> Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut missing: Vec<String> = Vec::new();
    for operation in products.iter().flat_map(|product| &product.operations) {
        let Source::Proxy(proxy) = &operation.source else { continue };
        if found.iter().any(|(known, _)| known == proxy) || missing.contains(proxy) {
            continue;
        }
        let own = options.base_paths.iter().find(|path| path.proxy.as_ref() == Some(proxy));
        let path = own.or_else(|| options.base_paths.iter().find(|path| path.proxy.is_none()));
        match path {
            Some(path) => found.push((proxy.clone(), path.path.clone())),
            None => missing.push(proxy.clone()),
        }
    }
    let unused = options.base_paths.iter().filter_map(|path| path.proxy.as_ref());
    if let Some(unused) = unused.into_iter().find(|proxy| !found.iter().any(|(known, _)| known == *proxy)) {
        let known: Vec<String> =
            found.iter().map(|(proxy, _)| shown(proxy)).chain(missing.iter().map(|one| shown(one))).collect();
        bail!("--base-path {unused}=…: no product names this proxy; named are {}", known.join(", "));
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let missing: Vec<String> = missing.iter().take(MAX_TOLD).map(|proxy| shown(proxy)).collect();
    bail!(
        "API products do not say where a proxy is: give --base-path PROXY=/PATH for each of {}, or one --base-path \
         /PATH for all",
        missing.join(", ")
    )
}

/// Adds the operations of a product, and notes those that no route can have.
fn take_operations(
    place: usize,
    product: &mut Product,
    base_paths: &[(String, String)],
    grants: &mut Vec<Grant>,
) {
    for operation in core::mem::take(&mut product.operations) {
        let (Source::Proxy(source) | Source::Remote(source)) = &operation.source;
        let api = label(source);
        let (host, base) = match &operation.source {
            Source::Proxy(proxy) => {
                let base = base_paths.iter().find(|(known, _)| known == proxy).map_or("/", |(_, path)| path);
                (None, base)
            }
            Source::Remote(host) if host == "*" => (None, "/"),
            Source::Remote(host) => (Some(host.clone()), "/"),
        };
        match Resource::parse(base, &operation.resource) {
            Err(why) => product.lose(format!("resource {} {why}: left out", shown(&operation.resource))),
            Ok(resource) => {
                if !resource.is_sayable() {
                    product.lose(format!(
                        "resource {} has a `*` before its end, which a prefix cannot have: left out but where another \
                         product's route lies in it",
                        shown(&operation.resource)
                    ));
                }
                grants.push(Grant { product: place, host, resource, methods: operation.methods, api });
            }
        }
    }
}

/// Notes on each product whose tokens are good for it, too: scopes alone cannot tell them apart.
fn note_shared_scopes(products: &mut [Product], scopes: ScopeUse) {
    let all: Vec<(String, Vec<String>)> =
        products.iter().map(|product| (product.name.clone(), product.scopes.clone())).collect();
    for product in products.iter_mut().filter(|product| !product.scopes.is_empty()) {
        let meets = |held: &[String]| match scopes {
            ScopeUse::All => product.scopes.iter().all(|scope| held.contains(scope)),
            ScopeUse::Any => product.scopes.iter().any(|scope| held.contains(scope)),
        };
        let others = all.iter().filter(|(name, held)| *name != product.name && meets(held));
        let others: Vec<String> = others.map(|(name, _)| shown(name)).collect();
        if !others.is_empty() {
            product.notes.push(format!(
                "its scopes do not tell its tokens from those of {}, which are good for it, too: see --product-claim",
                listed(&others)
            ));
        }
    }
}

/// What a requirement may list.
const MAX_SCOPES: usize = 64;
/// What fits a message.
const MAX_TOLD: usize = 50;
