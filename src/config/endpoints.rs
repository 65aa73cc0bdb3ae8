//! Where a client asks: `token_endpoint` and `discovery`.

use std::rc::Rc;

use super::reader::{Fields, Node};
use super::{key_sources, values};
use crate::oauth::{Address, MetadataLocation, MetadataSource};
use crate::outbound::{Endpoint, EndpointLocation};

/// What the configuration says about the issuer behind an endpoint.
pub(super) enum EndpointIssuer {
    /// It is this one.
    Known(Rc<str>),
    /// Only the endpoint is named.
    NotNamed,
    /// It could not be read.
    NotRead,
}

/// Reads whichever of the two a client has.
pub(super) fn read(client: &Fields<'_>) -> (Option<Endpoint>, EndpointIssuer) {
    match (client.optional("token_endpoint"), client.optional("discovery")) {
        (Some(node), None) => (token_endpoint(&node), EndpointIssuer::NotNamed),
        (None, Some(node)) => discovery(&node).unwrap_or((None, EndpointIssuer::NotRead)),
        (None, None) | (Some(_), Some(_)) => (
            client.node().problem("expected exactly one of token_endpoint, discovery"),
            EndpointIssuer::NotRead,
        ),
    }
}

fn token_endpoint(node: &Node<'_>) -> Option<Endpoint> {
    let fields = node.fields(&["uri", "cluster", "timeout", "tls"])?;
    let allow_http = key_sources::allow_http(&fields);
    let uri = fields.read("uri", |node| {
        let url = values::http_url(node)?;
        if url.scheme() == "http" && allow_http == Some(false) {
            return node.problem("the token endpoint is not https: without TLS it needs `tls: optional`");
        }
        Some(url)
    });
    let cluster = fields.read("cluster", values::plain);
    let timeout = key_sources::timeout(&fields);
    allow_http?;
    Some(Endpoint {
        cluster: cluster?,
        timeout: timeout?,
        location: EndpointLocation::At(Address::of(&uri?)),
    })
}

fn discovery(node: &Node<'_>) -> Option<(Option<Endpoint>, EndpointIssuer)> {
    let fields = node.fields(&[
        "issuer",
        "cluster",
        "token_cluster",
        "tls",
        "timeout",
        "metadata_refresh",
        "metadata_min_refresh",
    ])?;
    let allow_http = key_sources::allow_http(&fields);
    let issuer = fields.read("issuer", |node| Some((values::issuer(node)?, node.clone())));
    let endpoint_issuer = issuer
        .as_ref()
        .map_or(EndpointIssuer::NotRead, |(issuer, _)| EndpointIssuer::Known(Rc::from(*issuer)));
    let url = issuer.as_ref().and_then(|(issuer, node)| key_sources::issuer_url(node, issuer, allow_http));
    let cluster = fields.read("cluster", values::plain);
    let token_cluster =
        fields.optional("token_cluster").map_or_else(|| cluster.clone(), |node| values::plain(&node));
    let lifetime = key_sources::metadata_lifetime(&fields, node);
    // Of a schedule's own fields, `timeout` is the only one that may be here.
    let schedule = key_sources::schedule(&fields, node);
    let endpoint = || {
        let schedule = schedule?;
        let discovery = MetadataSource {
            cluster: cluster?,
            issuer: issuer?.0.into(),
            location: MetadataLocation::WellKnown(url?),
            allow_http: allow_http?,
            schedule: key_sources::of_metadata(lifetime?, &schedule),
        };
        Some(Endpoint {
            cluster: token_cluster?,
            timeout: schedule.timeout,
            location: EndpointLocation::Discovered(discovery),
        })
    };
    Some((endpoint(), endpoint_issuer))
}
