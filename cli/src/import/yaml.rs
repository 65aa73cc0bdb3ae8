//! The configuration as text, with a comment on each product.

use core::fmt::Write as _;
use std::collections::BTreeSet;

use super::options::{Options, ScopeUse};
use super::product::{Product, shown};
use super::table::Row;
use crate::init::template::{list, quoted};
use crate::printing::{bounded, escaped};

/// Writes it. `names` are those of the products' requirements.
pub(super) fn write(
    options: &Options,
    products: &[Product],
    names: &[Option<String>],
    rows: &[Row],
) -> String {
    let mut text = String::from(
        "# Written by `attachectl import apigee`: docs/apigee.md says what carries over. What is not listed is denied.\n\
         inbound:\n  issuers:\n",
    );
    let cluster = quoted(&options.cluster);
    let keys = match &options.jwks_uri {
        Some(uri) => format!("{{ jwks: {{ uri: {}, cluster: {cluster} }} }}", quoted(uri)),
        None => format!("{{ discovery: {{ cluster: {cluster} }} }}"),
    };
    let _ = writeln!(text, "  - name: issuer\n    issuer: {}", quoted(&options.issuer));
    let _ = writeln!(text, "    audiences: [{}]\n    keys: {keys}", list(&options.audiences));
    text.push_str("  # What a token needs for an operation of a product.\n  requirements:\n");
    for (product, name) in products.iter().zip(names) {
        let scopes = if product.environments.is_empty() { String::new() } else { environments(product) };
        let _ = writeln!(text, "    # API product {}{scopes}", shown(&product.name));
        for note in &product.notes {
            let _ = writeln!(text, "    # - {note}");
        }
        if let Some(name) = name {
            let _ = writeln!(text, "    {name}: {}", requirement(options, product));
        }
    }
    text.push_str("  routes:\n");
    let mut used = BTreeSet::new();
    for row in rows {
        let name = unique(&row_name(row), &used);
        let methods = if row.methods.is_empty() {
            String::new()
        } else {
            format!(", methods: [{}]", list(&row.methods))
        };
        let host =
            row.host.as_ref().map(|host| format!(", authorities: [{}]", quoted(host))).unwrap_or_default();
        let kind = row.pattern.kind();
        let _ = writeln!(text, "  - name: {}", quoted(&name));
        let _ =
            writeln!(text, "    match: {{ {kind}: {}{methods}{host} }}", quoted(&row.pattern.to_string()));
        if let Some(api) = &row.api {
            let _ = writeln!(text, "    api: {}", quoted(api));
        }
        let asks_nothing =
            |place: &&usize| products.get(**place).is_some_and(|product| is_open(options, product));
        // Beside one that asks for nothing, the others are not allowed to stand.
        let open: Vec<&usize> = row.products.iter().filter(asks_nothing).take(1).collect();
        let counted: Vec<&usize> = if open.is_empty() { row.products.iter().collect() } else { open };
        let accepted: Vec<&str> =
            counted.into_iter().filter_map(|place| names.get(*place)?.as_deref()).collect();
        let _ = match accepted.as_slice() {
            [] => writeln!(text, "    deny: {{}}"),
            [one] => writeln!(text, "    require: {one}"),
            several => writeln!(text, "    require: {{ any: [{}] }}", several.join(", ")),
        };
        used.insert(name);
    }
    text.push_str("  default: deny\n");
    text
}

fn environments(product: &Product) -> String {
    let names: Vec<String> =
        product.environments.iter().map(|name| escaped(&bounded(name)).into_owned()).collect();
    format!(", of the environments {}", names.join(" "))
}

/// Whether any valid token meets it.
fn is_open(options: &Options, product: &Product) -> bool {
    options.product_claim.is_none() && product.scopes.is_empty()
}

fn requirement(options: &Options, product: &Product) -> String {
    let mut parts = Vec::new();
    if let Some(claim) = &options.product_claim {
        let (claim, name) = (quoted(claim), quoted(&product.name));
        parts.push(format!("claims: [ {{ claim: {claim}, contains: {name} }} ]"));
    }
    match (product.scopes.as_slice(), options.scopes) {
        ([], _) => {}
        ([_], _) | (_, ScopeUse::All) => parts.push(format!("scopes: [{}]", list(&product.scopes))),
        (_, ScopeUse::Any) => parts.push(format!("any_scope: [{}]", list(&product.scopes))),
    }
    if parts.is_empty() { "{ authenticated: {} }".to_owned() } else { format!("{{ {} }}", parts.join(", ")) }
}

fn row_name(row: &Row) -> String {
    let text =
        format!("{} {} {}", row.methods.join(" "), row.host.as_deref().unwrap_or_default(), row.pattern);
    let name = name_of(&text);
    if name.is_empty() { "all".to_owned() } else { name }
}

/// A name of the configuration for this text: lower case letters, digits and dashes, at most 56; perhaps empty.
pub(super) fn name_of(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").chars().take(56).collect()
}

/// The label of an API for this text; empty where it makes none.
pub(super) fn label(text: &str) -> String {
    let name = name_of(text);
    if RESERVED.contains(&name.as_str()) { String::new() } else { name }
}

/// The name, or the first with a number behind it that is free.
pub(super) fn unique(name: &str, used: &BTreeSet<String>) -> String {
    let is_free = |name: &String| !used.contains(name) && !RESERVED.contains(&name.as_str());
    let numbered = (2_usize..).map(|number| format!("{name}-{number}"));
    core::iter::once(name.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}

/// Words that metrics use for something else.
const RESERVED: [&str; 3] = ["default", "none", "other"];
