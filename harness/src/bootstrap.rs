//! Envoy's bootstrap as data: the shipped `envoy.yaml` with other ports, other addresses or another plugin
//! configuration, and otherwise as it is.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// A bootstrap that can be changed before Envoy reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap(Value);

impl Bootstrap {
    /// Parses YAML (or JSON, which is YAML).
    pub fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_saphyr::from_str(text)
            .map_err(|error| anyhow::anyhow!("the bootstrap is no valid YAML: {error}"))?;
        if !value.is_object() {
            bail!("the bootstrap is not a mapping");
        }
        Ok(Self(value))
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}: give the bootstrap with --config", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Returns it as JSON, which Envoy reads from a `.json` or `.yaml` file.
    pub fn to_json(&self) -> String {
        format!("{:#}", self.0)
    }

    /// Returns the document, for any change that has no method here.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut self.0
    }

    /// Returns a place in the document, by JSON pointer (RFC 6901).
    pub fn at(&mut self, pointer: &str) -> Result<&mut Value> {
        self.0.pointer_mut(pointer).with_context(|| format!("the bootstrap has no {pointer}"))
    }

    /// Returns the static listeners' names.
    pub fn listeners(&self) -> Vec<String> {
        self.named("/static_resources/listeners")
            .filter_map(|listener| listener.get("name")?.as_str().map(str::to_owned))
            .collect()
    }

    /// Returns where the admin listens.
    pub fn admin(&self) -> Result<SocketAddr> {
        socket(self.0.pointer("/admin/address")).context("the bootstrap has no admin address")
    }

    /// Returns where a listener listens.
    pub fn listener(&self, name: &str) -> Result<SocketAddr> {
        let listener = self
            .named("/static_resources/listeners")
            .find(|listener| listener.get("name").and_then(Value::as_str) == Some(name))
            .with_context(|| format!("the bootstrap has no listener `{name}`"))?;
        socket(listener.get("address")).with_context(|| format!("listener `{name}` has no socket address"))
    }

    /// Lets the admin listen elsewhere; port 0: a free one.
    pub fn set_admin(&mut self, addr: SocketAddr) -> Result<()> {
        let admin = self.at("/admin")?.as_object_mut().context("`admin` is not a mapping")?;
        admin.insert("address".into(), address(&addr.ip().to_string(), addr.port()));
        Ok(())
    }

    /// Lets a listener listen elsewhere; port 0: a free one.
    pub fn set_listener(&mut self, name: &str, addr: SocketAddr) -> Result<()> {
        let listener = self.find("/static_resources/listeners", name)?;
        listener.insert("address".into(), address(&addr.ip().to_string(), addr.port()));
        Ok(())
    }

    /// Gives the admin and every static listener a free port of 127.0.0.1.
    pub fn use_free_ports(&mut self) -> Result<()> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        self.set_admin(any)?;
        for name in self.listeners() {
            self.set_listener(&name, any)?;
        }
        Ok(())
    }

    /// Returns the host and port of a cluster's first endpoint.
    pub fn cluster(&self, name: &str) -> Result<(String, u16)> {
        self.named("/static_resources/clusters")
            .find(|cluster| cluster.get("name").and_then(Value::as_str) == Some(name))
            .and_then(|cluster| host_and_port(cluster.pointer(ENDPOINT)))
            .with_context(|| format!("the bootstrap has no cluster `{name}` with an endpoint"))
    }

    /// Points a cluster's first endpoint elsewhere. A host name needs a cluster of type STRICT_DNS or LOGICAL_DNS.
    pub fn set_cluster(&mut self, name: &str, host: &str, port: u16) -> Result<()> {
        let cluster = self.find("/static_resources/clusters", name)?;
        let endpoint = cluster
            .get_mut("load_assignment")
            .and_then(|assignment| assignment.pointer_mut("/endpoints/0/lb_endpoints/0/endpoint"))
            .and_then(Value::as_object_mut)
            .with_context(|| format!("cluster `{name}` has no endpoint"))?;
        endpoint.insert("address".into(), address(host, port));
        Ok(())
    }

    /// Lets every wasm filter load this module.
    pub fn set_wasm(&mut self, path: &Path) -> Result<()> {
        let path = path.to_str().context("the module's path is not UTF-8")?;
        let mut found = false;
        self.plugins(&mut |config| {
            if let Some(code) = config.get_mut("vm_config").and_then(|vm| vm.get_mut("code")) {
                *code = json!({ "local": { "filename": path } });
                found = true;
            }
        });
        if found { Ok(()) } else { bail!("the bootstrap has no wasm filter with code") }
    }

    /// Returns the first wasm filter's configuration: the document inside the `Struct`.
    pub fn plugin_configuration(&mut self) -> Result<Value> {
        let mut found = None;
        self.plugins(&mut |config| {
            if found.is_none() {
                found = config.get("configuration").and_then(|any| any.get("value")).cloned();
            }
        });
        found.context("the bootstrap has no wasm filter with a configuration")
    }

    /// Gives every wasm filter this configuration, as a protobuf `Struct`.
    pub fn set_plugin_configuration(&mut self, document: &Value) {
        self.set_plugin_any(&json!({ "@type": STRUCT, "value": document }));
    }

    /// Gives every wasm filter this configuration, as text.
    pub fn set_plugin_text(&mut self, text: &str) {
        self.set_plugin_any(&json!({ "@type": STRING, "value": text }));
    }

    /// Changes each wasm filter's `PluginConfig`.
    pub fn plugins(&mut self, change: &mut impl FnMut(&mut Map<String, Value>)) {
        walk(&mut self.0, &mut |object| {
            if object.get("@type").and_then(Value::as_str) == Some(WASM)
                && let Some(config) = object.get_mut("config").and_then(Value::as_object_mut)
            {
                change(config);
            }
        });
    }

    fn set_plugin_any(&mut self, any: &Value) {
        self.plugins(&mut |config| {
            config.insert("configuration".into(), any.clone());
        });
    }

    fn named(&self, list: &str) -> impl Iterator<Item = &Value> {
        self.0.pointer(list).and_then(Value::as_array).into_iter().flatten()
    }

    fn find(&mut self, list: &str, name: &str) -> Result<&mut Map<String, Value>> {
        self.0
            .pointer_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
            .find(|item| item.get("name").and_then(Value::as_str) == Some(name))
            .with_context(|| format!("the bootstrap has no `{name}` in {list}"))
    }
}

fn walk(value: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values_mut().for_each(|member| walk(member, visit));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

fn host_and_port(address: Option<&Value>) -> Option<(String, u16)> {
    let socket = address?.get("socket_address")?;
    let port = u16::try_from(socket.get("port_value")?.as_u64()?).ok()?;
    Some((socket.get("address")?.as_str()?.to_owned(), port))
}

fn socket(address: Option<&Value>) -> Option<SocketAddr> {
    let (host, port) = host_and_port(address)?;
    Some(SocketAddr::new(host.parse().ok()?, port))
}

const ENDPOINT: &str = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";
const STRING: &str = "type.googleapis.com/google.protobuf.StringValue";
