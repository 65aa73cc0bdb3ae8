//! Keys that are fetched: `jwks` and `discovery`.

use core::time::Duration;
use std::rc::Rc;

use url::Url;

use super::fetch_clients::FetchClients;
use super::reader::{Fields, Node};
use super::values;
use crate::claims::TokenIssuer;
use crate::issuer::{Discovery, Jwks};
use crate::oauth::{Address, MetadataLocation, MetadataSource, Schedule, parse_url};

pub(super) fn jwks(node: &Node<'_>, clients: &FetchClients<'_>) -> Option<Jwks> {
    let fields = node.fields(&[&["uri", "cluster", "client", "empty_set"], &SCHEDULE[..]].concat())?;
    let client = fields.maybe("client", |node| clients.read(node));
    let uri = fields.read("uri", |node| {
        let url = values::http_url(node)?;
        if url.scheme() == "http" && fields.optional("client").is_some() {
            return node.problem("the client's token would be sent without TLS: expected an https URL");
        }
        Some(url)
    });
    let cluster = fields.read("cluster", |node| node.string().map(Rc::from));
    let accepts_empty_set = empty_set(&fields);
    let schedule = schedule(&fields, node);
    Some(Jwks {
        cluster: cluster?,
        address: Address::of(&uri?),
        schedule: schedule?,
        accepts_empty_set: accepts_empty_set?,
        client: client?,
    })
}

pub(super) fn discovery(
    node: &Node<'_>,
    issuer: Option<&TokenIssuer>,
    clients: &FetchClients<'_>,
) -> Option<Discovery> {
    let own = ["cluster", "issuer", "metadata_uri", "jwks_cluster", "client", "tls", "metadata_refresh"];
    let fields = node.fields(&[&own[..], &["metadata_min_refresh", "empty_set"], &SCHEDULE[..]].concat())?;
    let named = fields.maybe("issuer", values::issuer);
    let uri = fields.maybe("metadata_uri", |node| {
        let url = values::http_url(node)?;
        if url.scheme() == "http" && fields.optional("client").is_some() {
            return node.problem("the client's token would be sent without TLS: expected an https URL");
        }
        Some(url)
    });
    let cluster: Option<Rc<str>> = fields.read("cluster", |node| node.string().map(Rc::from));
    let jwks_cluster =
        fields.or("jwks_cluster", cluster.clone().unwrap_or_default(), |node| node.string().map(Rc::from));
    let client = fields.maybe("client", |node| clients.read(node));
    let allow_http = allow_http(&fields);
    let metadata_lifetime = metadata_lifetime(&fields, node);
    let accepts_empty_set = empty_set(&fields);
    let jwks_schedule = schedule(&fields, node);
    if allow_http == Some(true) && fields.optional("client").is_some() {
        return node.problem(
            "the client's token could be sent without TLS: `tls: optional` cannot stand beside `client`",
        );
    }
    let (named, uri, issuer) = (named?, uri?, issuer?);
    let location = match (uri, named, issuer) {
        (Some(uri), ..) if uri.scheme() == "http" && !allow_http? => {
            node.problem("`metadata_uri` is not https: discovery without TLS needs `tls: optional`")
        }
        (None, None, TokenIssuer::Tenants(_)) => {
            node.problem("discovery for all tenants needs `metadata_uri`")
        }
        (_, None, TokenIssuer::TrustDomain(_)) => {
            node.problem("a trust domain has no metadata: name the `issuer` that has")
        }
        (Some(uri), ..) => Some(MetadataLocation::At(Address::of(&uri))),
        (None, named, issuer) => {
            issuer_url(node, named.unwrap_or(issuer.as_str()), allow_http).map(MetadataLocation::WellKnown)
        }
    };
    let jwks_schedule = jwks_schedule?;
    let metadata = MetadataSource {
        cluster: cluster?,
        issuer: named.unwrap_or(issuer.as_str()).into(),
        location: location?,
        allow_http: allow_http?,
        schedule: of_metadata(metadata_lifetime?, &jwks_schedule),
    };
    let (jwks_cluster, accepts_empty_set, client) = (jwks_cluster?, accepts_empty_set?, client?);
    Some(Discovery { metadata, jwks_cluster, jwks_schedule, accepts_empty_set, client })
}

/// The URL of an issuer whose metadata is fetched; what is wrong with it is told at `node`.
pub(super) fn issuer_url(node: &Node<'_>, issuer: &str, allow_http: Option<bool>) -> Option<Url> {
    let url = parse_url(issuer).filter(|url| url.has_host() && ["http", "https"].contains(&url.scheme()));
    let Some(url) = url else {
        return node.problem("discovery needs an `issuer` that is an https URL");
    };
    // RFC 8414 §2
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return node.problem("discovery needs an `issuer` without query, fragment, user and password");
    }
    if url.scheme() == "http" && !allow_http? {
        return node.problem("the `issuer` is not https: discovery without TLS needs `tls: optional`");
    }
    Some(url)
}

/// `tls`: whether a server may be asked without.
pub(super) fn allow_http(fields: &Fields<'_>) -> Option<bool> {
    fields.or("tls", false, |node| node.word(&[("required", false), ("optional", true)]))
}

/// How long metadata is fresh: at least and at most, whatever its server says.
#[derive(Clone, Copy)]
pub(super) struct MetadataLifetime {
    least: Duration,
    most: Duration,
}

/// `metadata_refresh` and `metadata_min_refresh`; what is wrong with both together is told at `node`.
pub(super) fn metadata_lifetime(fields: &Fields<'_>, node: &Node<'_>) -> Option<MetadataLifetime> {
    let duration = |node: &Node<'_>| node.duration(Duration::from_secs(1), Duration::from_secs(24 * 3600));
    let most = fields.or("metadata_refresh", DEFAULT_METADATA_REFRESH, duration);
    let default_least = DEFAULT_MIN_REFRESH.min(most.unwrap_or(DEFAULT_MIN_REFRESH));
    let least = fields.or("metadata_min_refresh", default_least, duration);
    let (most, least) = (most?, least?);
    if least > most {
        return node.problem("`metadata_min_refresh` is longer than `metadata_refresh`");
    }
    Some(MetadataLifetime { least, most })
}

/// The schedule of metadata; what is not its own is as for what it leads to.
pub(super) fn of_metadata(lifetime: MetadataLifetime, others: &Schedule) -> Schedule {
    Schedule { refresh: lifetime.most, min_refresh: lifetime.least, ..others.clone() }
}

fn empty_set(fields: &Fields<'_>) -> Option<bool> {
    fields.or("empty_set", false, |node| node.word(&[("keep", false), ("accept", true)]))
}

/// `timeout`: how long one call may take.
pub(super) fn timeout(fields: &Fields<'_>) -> Option<Duration> {
    fields.or("timeout", DEFAULT_TIMEOUT, |node| {
        node.duration(Duration::from_millis(10), Duration::from_secs(60))
    })
}

pub(super) fn schedule(fields: &Fields<'_>, node: &Node<'_>) -> Option<Schedule> {
    let day = Duration::from_secs(24 * 3600);
    let second = Duration::from_secs(1);
    let timeout = timeout(fields);
    let refresh = fields.or("refresh", DEFAULT_REFRESH, |node| node.duration(second, day));
    let default_min = DEFAULT_MIN_REFRESH.min(refresh.unwrap_or(DEFAULT_MIN_REFRESH));
    let min_refresh = fields.or("min_refresh", default_min, |node| node.duration(second, day));
    let unknown_key_interval = fields.or("unknown_key_interval", DEFAULT_UNKNOWN_KEY_INTERVAL, |node| {
        node.duration(Duration::from_millis(100), Duration::from_secs(3600))
    });
    let max_staleness = fields
        .or("max_staleness", DEFAULT_MAX_STALENESS, |node| node.duration(second, day.saturating_mul(30)));
    let schedule = Schedule {
        timeout: timeout?,
        refresh: refresh?,
        min_refresh: min_refresh?,
        unknown_key_interval: unknown_key_interval?,
        max_staleness: max_staleness?,
    };
    if schedule.min_refresh > schedule.refresh {
        return node.problem("`min_refresh` is longer than `refresh`");
    }
    Some(schedule)
}

const SCHEDULE: [&str; 5] = ["timeout", "refresh", "min_refresh", "unknown_key_interval", "max_staleness"];
/// Far above what a JWKS or a token endpoint takes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// A withdrawn key stops within this time.
const DEFAULT_REFRESH: Duration = Duration::from_secs(600);
/// An issuer that forbids caching is not asked without a pause.
const DEFAULT_MIN_REFRESH: Duration = Duration::from_secs(30);
/// Under the deadline of waiting requests, so that a request with a new key waits for one fetch and is served.
const DEFAULT_UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(2);
/// An issuer that is down for a night is repaired the next day, and a key that it withdrew meanwhile stops by then.
const DEFAULT_MAX_STALENESS: Duration = Duration::from_secs(24 * 3600);
/// An issuer moves its keys once in years.
const DEFAULT_METADATA_REFRESH: Duration = Duration::from_secs(3600);
