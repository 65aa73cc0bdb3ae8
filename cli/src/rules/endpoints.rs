//! The servers that a configuration names: where keys, metadata and tokens come from.

use crate::printing::shown_url;
use crate::reading::Place;

/// A server that the filter calls through a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint<'a> {
    /// The field with the cluster's name.
    pub(crate) place: Place<'a>,
    pub(crate) cluster: &'a str,
    /// The address, or the issuer whose metadata names it.
    pub(crate) uri: &'a str,
    pub(crate) purpose: Purpose<'a>,
    /// The issuer or client, as a person calls it: `issuer corp`.
    pub(crate) of: String,
    /// Whether the configuration says that TLS is not required.
    pub(crate) is_optional: bool,
}

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose<'a> {
    /// Keys of an issuer.
    Keys,
    /// The metadata of an issuer or a token endpoint.
    Metadata,
    /// Tokens, with this way of authentication.
    Tokens(&'a str),
}

impl Endpoint<'_> {
    /// The address as a finding may show it.
    pub(crate) fn shown(&self) -> String {
        shown_url(self.uri)
    }
}

impl Purpose<'_> {
    /// What goes through the cluster, and what happens to it in plain text.
    pub(crate) fn risk(self) -> &'static str {
        match self {
            Self::Keys => "a server on the way can replace the keys, and its tokens would be accepted",
            Self::Metadata => {
                "a server on the way can replace the metadata, and with it the addresses of keys and tokens"
            }
            Self::Tokens("client_secret_basic" | "client_secret_post" | "set_by_cluster") => {
                "the client's secret and its tokens can be read on the way"
            }
            Self::Tokens(_) => "the client's tokens can be read on the way",
        }
    }

    /// What is fetched, in a word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Metadata => "metadata",
            Self::Tokens(_) => "tokens",
        }
    }
}

/// Every server that a configuration names.
pub(crate) fn endpoints<'a>(config: &Place<'a>) -> Vec<Endpoint<'a>> {
    let mut found = Vec::new();
    for issuer in config.member("inbound").iter().flat_map(|inbound| inbound.list("issuers")) {
        let of = format!("issuer {}", issuer.text("name"));
        let Some(keys) = issuer.member("keys") else { continue };
        for source in core::iter::once(keys.clone()).chain(keys.items()) {
            let mut add = |fields: &Place<'a>, field, uri, purpose| {
                found.extend(endpoint(fields, field, uri, purpose, &of))
            };
            if let Some(jwks) = source.member("jwks") {
                add(&jwks, "cluster", jwks.text("uri"), Purpose::Keys);
            }
            if let Some(discovery) = source.member("discovery") {
                add(&discovery, "cluster", issuer.text("issuer"), Purpose::Metadata);
                let has_other = discovery.member("jwks_cluster").is_some();
                let field = if has_other { "jwks_cluster" } else { "cluster" };
                add(&discovery, field, issuer.text("issuer"), Purpose::Keys);
            }
        }
    }
    for client in clients(config) {
        let of = format!("client {}", client.text("name"));
        let mut add = |fields: &Place<'a>, field, uri, purpose| {
            found.extend(endpoint(fields, field, uri, purpose, &of))
        };
        let tokens = Purpose::Tokens(authentication(&client));
        if let Some(endpoint) = client.member("token_endpoint") {
            add(&endpoint, "cluster", endpoint.text("uri"), tokens);
        }
        if let Some(discovery) = client.member("discovery") {
            add(&discovery, "cluster", discovery.text("issuer"), Purpose::Metadata);
            let has_other = discovery.member("token_cluster").is_some();
            let field = if has_other { "token_cluster" } else { "cluster" };
            add(&discovery, field, discovery.text("issuer"), tokens);
        }
    }
    found
}

fn endpoint<'a>(
    fields: &Place<'a>,
    field: &str,
    uri: &'a str,
    purpose: Purpose<'a>,
    of: &str,
) -> Option<Endpoint<'a>> {
    let place = fields.member(field)?;
    Some(Endpoint {
        cluster: place.as_str()?,
        place,
        uri,
        purpose,
        of: of.to_owned(),
        is_optional: fields.text("tls") == "optional",
    })
}

/// The clients of a configuration.
fn clients<'a>(config: &Place<'a>) -> impl Iterator<Item = Place<'a>> + use<'a> {
    config.member("outbound").into_iter().flat_map(|outbound| outbound.list("clients"))
}

/// How a client authenticates: the name of the variant.
fn authentication<'a>(client: &Place<'a>) -> &'a str {
    let variant = client.member("authentication").and_then(|authentication| authentication.members().next());
    variant.map_or("", |(name, _)| name)
}

/// Each cluster that tokens go to, at each place where it is named.
pub(crate) fn destinations<'a>(config: &Place<'a>) -> Vec<Place<'a>> {
    let destinations =
        config.member("outbound").into_iter().flat_map(|outbound| outbound.list("destinations"));
    let matches = destinations.filter_map(|destination| destination.member("match"));
    matches.flat_map(|one| one.list("clusters")).collect()
}
