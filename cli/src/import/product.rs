//! API products as Apigee's API exports them (`organizations.apiproducts` of its reference).

use anyhow::{Result, bail};
use attache::claims::is_scope_token;
use serde_json::{Map, Value};

use crate::printing::{bounded, escaped};

/// A product: whose tokens may ask for what.
#[derive(Clone, Debug)]
pub(super) struct Product {
    pub(super) name: String,
    pub(super) scopes: Vec<String>,
    /// Empty: all.
    pub(super) environments: Vec<String>,
    pub(super) operations: Vec<Operation>,
    /// What of it is not enforced, a sentence each, safe for a line of a terminal and for a comment.
    pub(super) notes: Vec<String>,
    /// Whether something of it was left out that its clients may ask for in Apigee.
    pub(super) is_short: bool,
}

/// A path of one of its proxies, or of a remote service.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) source: Source,
    pub(super) resource: String,
    /// Empty: all.
    pub(super) methods: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The resource is a path below the proxy's base path.
    Proxy(String),
    /// The resource is a path of this host.
    Remote(String),
}

/// Reads an export: one product, a list of them, or the answer `{ "apiProduct": [ … ] }`.
pub(super) fn read(text: &str) -> Result<Vec<Product>> {
    let document: Value = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => bail!("not JSON: {error}"),
    };
    let items: &[Value] = match &document {
        Value::Array(items) => items,
        Value::Object(members) => match members.get("apiProduct") {
            Some(Value::Array(items)) => items,
            Some(_) => bail!("`apiProduct` is not a list"),
            None if members.contains_key("name") => core::slice::from_ref(&document),
            None => bail!(
                "no API product here: expected an object with `name`, a list of them, or {{ \"apiProduct\": [ … ] }}"
            ),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            bail!("no API product here: expected an object or a list")
        }
    };
    if items.len() > MAX_PRODUCTS {
        bail!("{} API products, more than the {MAX_PRODUCTS} that are read", items.len());
    }
    let is_name = |item: &Value| {
        item.is_string()
            || item.as_object().is_some_and(|members| members.len() == 1 && members.contains_key("name"))
    };
    if !items.is_empty() && items.iter().all(is_name) {
        bail!("only the names of API products are here: ask Apigee's API for them with `?expand=true`");
    }
    let products: Vec<Product> =
        items.iter().enumerate().map(|(place, item)| product(place, item)).collect::<Result<_>>()?;
    for (place, product) in products.iter().enumerate() {
        if products.iter().take(place).any(|other| other.name == product.name) {
            bail!("API product {} is there twice", shown(&product.name));
        }
    }
    let operations: usize = products.iter().map(|product| product.operations.len()).sum();
    if operations > MAX_OPERATIONS {
        bail!("{operations} operations, more than the {MAX_OPERATIONS} that are read");
    }
    Ok(products)
}

fn product(place: usize, item: &Value) -> Result<Product> {
    let Some(members) = item.as_object() else { bail!("API product {place}: expected an object") };
    let Some(name) = members.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
        bail!("API product {place}: it has no `name`")
    };
    let mut product = Product {
        name: name.to_owned(),
        scopes: Vec::new(),
        environments: texts(members.get("environments")),
        operations: Vec::new(),
        notes: Vec::new(),
        is_short: false,
    };
    let mut is_sayable = true;
    for scope in texts(members.get("scopes")) {
        if !is_scope_token(&scope) {
            // Without it, the product would ask for less than it says.
            is_sayable = false;
            product.lose(format!(
                "scope {} has characters that no scope can have: the product is left out",
                shown(&scope)
            ));
        } else if !product.scopes.contains(&scope) {
            product.scopes.push(scope);
        }
    }
    product.read_operations(members);
    if !is_sayable {
        product.operations.clear();
    }
    if let Some(quota) = product_quota(members) {
        product.notes.push(format!("its quota, {quota}, is not enforced: use Envoy's rate limit"));
    }
    if members.get("approvalType").and_then(Value::as_str) == Some("manual") {
        product.notes.push(
            "apps need an approval: the authorization server has to keep its scopes from others".to_owned(),
        );
    }
    let attributes: Vec<String> = list(members.get("attributes"))
        .filter_map(|attribute| attribute.get("name").and_then(Value::as_str))
        .filter(|name| *name != "access")
        .map(shown)
        .collect();
    if !attributes.is_empty() {
        product.notes.push(format!("its attributes are not read: {}", listed(&attributes)));
    }
    let unknown: Vec<String> =
        members.keys().filter(|name| !MEMBERS.contains(&name.as_str())).map(|name| shown(name)).collect();
    if !unknown.is_empty() {
        product.notes.push(format!("members that are not read: {}", listed(&unknown)));
    }
    Ok(product)
}

impl Product {
    /// Notes something that its clients may do in Apigee, and not here.
    pub(super) fn lose(&mut self, note: String) {
        self.is_short = true;
        self.notes.push(note);
    }

    fn read_operations(&mut self, members: &Map<String, Value>) {
        for (name, what) in [
            ("graphqlOperationGroup", "GraphQL"),
            ("grpcOperationGroup", "gRPC"),
            ("llmOperationGroup", "LLM"),
        ] {
            if members.get(name).is_some_and(|group| !group.is_null()) {
                self.lose(format!("its {what} operations are left out"));
            }
        }
        let proxies = texts(members.get("proxies"));
        let resources = texts(members.get("apiResources"));
        if let Some(group) = members.get("operationGroup").filter(|group| !group.is_null()) {
            if !proxies.is_empty() || !resources.is_empty() {
                self.notes.push(
                    "`proxies` and `apiResources` are not read: `operationGroup` takes their place"
                        .to_owned(),
                );
            }
            let is_remote = group.get("operationConfigType").and_then(Value::as_str) == Some("remoteservice");
            for config in list(group.get("operationConfigs")) {
                self.read_config(config, is_remote);
            }
        } else if proxies.is_empty() {
            let is_grouped = self.is_short;
            if !is_grouped {
                self.lose(
                    "it names no proxy, which in Apigee means every API of the organization: left out"
                        .to_owned(),
                );
            }
        } else {
            // Without resources, all that the proxies have.
            let resources = if resources.is_empty() { vec!["/".to_owned()] } else { resources };
            for proxy in proxies {
                self.operations.extend(resources.iter().map(|resource| Operation {
                    source: Source::Proxy(proxy.clone()),
                    resource: resource.clone(),
                    methods: Vec::new(),
                }));
            }
        }
    }

    fn read_config(&mut self, config: &Value, is_remote: bool) {
        let Some(source) =
            config.get("apiSource").and_then(Value::as_str).filter(|source| !source.is_empty())
        else {
            self.lose("operations without `apiSource` are left out".to_owned());
            return;
        };
        if let Some(quota) = config.get("quota").and_then(Value::as_object).and_then(operation_quota) {
            self.notes.push(format!(
                "the quota of {}, {quota}, is not enforced: use Envoy's rate limit",
                shown(source)
            ));
        }
        if list(config.get("attributes")).next().is_some() {
            self.notes.push(format!("the attributes of {} are not read", shown(source)));
        }
        for operation in list(config.get("operations")) {
            let Some(resource) = operation.get("resource").and_then(Value::as_str) else {
                self.lose(format!("an operation of {} without `resource` is left out", shown(source)));
                continue;
            };
            let listed = texts(operation.get("methods"));
            let methods: Vec<String> =
                listed.iter().filter(|method| METHODS.contains(&method.as_str())).cloned().collect();
            if methods.len() < listed.len() {
                self.lose(format!(
                    "a method of {} of {} is unknown, and left out",
                    shown(resource),
                    shown(source)
                ));
                // An empty list would be every method.
                if methods.is_empty() {
                    continue;
                }
            }
            let source =
                if is_remote { Source::Remote(source.to_owned()) } else { Source::Proxy(source.to_owned()) };
            self.operations.push(Operation { source, resource: resource.to_owned(), methods });
        }
    }
}

/// The members of a list; none where there is none.
fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// Texts of a list, without empty ones: Edge writes `[""]` where there is nothing.
fn texts(value: Option<&Value>) -> Vec<String> {
    list(value)
        .filter_map(Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `1000 in 1 day`.
fn product_quota(members: &Map<String, Value>) -> Option<String> {
    quota(members, ["quota", "quotaInterval", "quotaTimeUnit"])
}

fn operation_quota(members: &Map<String, Value>) -> Option<String> {
    quota(members, ["limit", "interval", "timeUnit"])
}

fn quota(members: &Map<String, Value>, names: [&str; 3]) -> Option<String> {
    let text = |name: &str| match members.get(name)? {
        Value::String(text) if text.is_empty() || text == "null" => None,
        Value::String(text) => Some(shown_plain(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let [limit, interval, unit] = names.map(text);
    let limit = limit?;
    Some(format!(
        "{limit} in {} {}",
        interval.unwrap_or_else(|| "1".to_owned()),
        unit.unwrap_or_else(|| "?".to_owned())
    ))
}

/// A text of the export, in quotes, for one line.
pub(super) fn shown(text: &str) -> String {
    escaped(&format!("{:?}", bounded(text))).into_owned()
}

fn shown_plain(text: &str) -> String {
    escaped(&bounded(text)).into_owned()
}

/// Some of them, and how many more there are.
pub(super) fn listed(texts: &[String]) -> String {
    let more = texts.len().saturating_sub(MAX_LISTED);
    let shown = texts.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// The members that are read, and those that say nothing about requests.
const MEMBERS: [&str; 21] = [
    "name",
    "displayName",
    "description",
    "approvalType",
    "attributes",
    "apiResources",
    "environments",
    "proxies",
    "quota",
    "quotaInterval",
    "quotaTimeUnit",
    "quotaCounterScope",
    "scopes",
    "createdAt",
    "createdBy",
    "lastModifiedAt",
    "lastModifiedBy",
    "operationGroup",
    "graphqlOperationGroup",
    "grpcOperationGroup",
    "llmOperationGroup",
];
/// Those that Apigee takes.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
/// Large organizations have some hundreds.
const MAX_PRODUCTS: usize = 1_000;
/// As many as routes of a configuration.
const MAX_OPERATIONS: usize = 20_000;
/// What fits a line.
const MAX_LISTED: usize = 20;
