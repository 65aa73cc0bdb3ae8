//! The block `inbound`, but for its issuers and routes.

use core::time::Duration;
use std::rc::Rc;

use super::environment::Environment;
use super::reader::{Fields, Node};
use super::{issuers, routes, values};
use crate::base::WaitingBounds;
use crate::claims::{ClaimPath, ForwardedClaim, ForwardedType};
use crate::inbound::{
    self, AfterVerification, CacheSettings, DenialBody, DenialSettings, Detail, FilterState, Issuer,
    MetadataUse, Preflight, ProtectedHeaders, ReservedHeaders, Resource, TokenSource,
};
use crate::policy::{IssuerId, LetterCase, Overridden, Overrides, PathFeatures, RouteTable, Rule};

pub(super) fn read(
    node: &Node<'_>,
    environment: &dyn Environment,
    version: u64,
) -> Option<inbound::Settings> {
    let fields = node.fields(&[
        "version",
        "issuers",
        "token",
        "forward_claims",
        "resource",
        "denials",
        "cors_preflight",
        "case_sensitive",
        "allow_overrides",
        "route_metadata",
        "filter_state",
        "waiting",
        "token_cache",
        "routes",
        "default",
    ])?;
    let version = fields.or("version", version, |node| node.integer(1, u64::MAX));
    let issuers = fields.read("issuers", |node| issuers::read(node, environment));
    let token = fields.or("token", default_token(), token);
    let forwarded = fields.or("forward_claims", Vec::new(), forwarded_claims);
    let denials = fields.or("denials", default_denials(), denials);
    let preflight = fields.or("cors_preflight", Preflight::Authorize, |node| {
        node.word(&[("authorize", Preflight::Authorize), ("forward", Preflight::Forward)])
    });
    let route_metadata = fields.or("route_metadata", MetadataUse::Deny, |node| {
        let word = node.word(&[("read", MetadataUse::Read), ("ignore", MetadataUse::Ignore)])?;
        let strips = token.as_ref().is_some_and(|(_, after)| *after == AfterVerification::Strip);
        if word == MetadataUse::Read && strips {
            return node
                .problem("stripping the token can change Envoy's route: forward it, or ignore metadata");
        }
        Some(word)
    });
    let filter_state = fields.or("filter_state", FilterState::Denials, |node| {
        node.word(&[("denials", FilterState::Denials), ("all", FilterState::All)])
    });
    let waiting = fields.or("waiting", DEFAULT_WAITING, waiting);
    let cache = fields.or("token_cache", Some(DEFAULT_CACHE), cache);
    let names: Option<Vec<Rc<str>>> =
        issuers.as_ref().map(|issuers| issuers.iter().map(|issuer| Rc::clone(&issuer.name)).collect());
    let case = routes::letter_case(&fields, LetterCase::Matters);
    let allowed_overrides = fields.or("allow_overrides", Vec::new(), allowed_overrides);
    let context = routes::RouteContext {
        issuers: names.as_deref(),
        case: case.unwrap_or_default(),
        // Another spelling of a path leads to no other rule, unless Envoy's route has a part in it.
        allowed: match route_metadata {
            Some(MetadataUse::Read) => PathFeatures::NONE,
            Some(MetadataUse::Deny | MetadataUse::Ignore) | None => PathFeatures::SPELLINGS,
        },
    };
    let table = routes::read(&fields, context);
    let resource = fields.maybe("resource", |node| {
        let sources = token.as_ref().map(|(sources, _)| sources.as_slice());
        let issuers = issuers.as_deref().unwrap_or_default();
        resource(node, issuers, sources.unwrap_or_default(), table.as_ref())
    });

    let (sources, after_verification) = token?;
    let forwarded_claims: Rc<[ForwardedClaim]> = forwarded?.into();
    let headers = forwarded_claims.iter().map(|forwarded| Rc::clone(&forwarded.header));
    let token_headers = sources.iter().filter_map(token_header).cloned();
    for (index, forwarded) in forwarded_claims.iter().enumerate() {
        if sources.iter().filter_map(token_header).any(|name| *name == forwarded.header) {
            let path = format!(".forward_claims[{index}].header");
            node.below(path).problem::<()>("the token is in this header: choose another");
        }
    }
    let mut issuers = issuers?;
    for issuer in &mut issuers {
        issuer.rules.asked.forwarded = Rc::clone(&forwarded_claims);
    }
    let table = table?;
    let protected = ProtectedHeaders::new(headers.chain(token_headers));
    let overrides = overrides(&table, route_metadata?, preflight?, &allowed_overrides?);
    let place =
        |(index, issuer): (usize, &Issuer)| Some((Rc::clone(&issuer.rules.issuer), IssuerId::at(index)?));
    Some(inbound::Settings {
        issuer_places: issuers.iter().enumerate().filter_map(place).collect(),
        issuers,
        watched: protected.filter().and(overrides.filter()),
        protected,
        reserved_headers: match route_metadata? {
            MetadataUse::Read => ReservedHeaders::Deny,
            MetadataUse::Deny | MetadataUse::Ignore => ReservedHeaders::Replace,
        },
        overrides,
        forwarded_claims,
        sources,
        after_verification,
        resource: resource?,
        denials: denials?,
        preflight: preflight?,
        route_metadata: route_metadata?,
        filter_state: filter_state?,
        waiting: waiting?,
        cache: cache?,
        routes: table,
        version: version?,
    })
}

/// The headers that may take the request line's place.
pub(super) fn allowed_overrides(node: &Node<'_>) -> Option<Vec<&'static str>> {
    let values = Overrides::KNOWN.map(|(name, _)| (name, name));
    node.distinct(values.len(), "header", |item| item.word(&values))
}

/// The headers by which a rule could be escaped: those that replace a method, where some rule asks for one or a
/// preflight needs no token; a path, where some rule asks for one.
fn overrides(table: &RouteTable, metadata: MetadataUse, preflight: Preflight, allowed: &[&str]) -> Overrides {
    // The filter cannot see what Envoy's routes ask for.
    let is_routed = metadata == MetadataUse::Read;
    let matters = |overridden| match overridden {
        Overridden::Method => is_routed || preflight == Preflight::Forward || table.asks_for_methods(),
        Overridden::Path => is_routed || table.asks_for_paths(),
    };
    Overrides::guarding(matters, allowed)
}

fn token(node: &Node<'_>) -> Option<(Vec<TokenSource>, AfterVerification)> {
    let fields = node.fields(&["sources", "after_verification"])?;
    let (sources, after) = default_token();
    let sources = fields.or("sources", sources, |node| node.distinct(MAX_SOURCES, "source", source));
    let after = fields.or("after_verification", after, |node| {
        node.word(&[("forward", AfterVerification::Forward), ("strip", AfterVerification::Strip)])
    });
    Some((sources?, after?))
}

fn source(node: &Node<'_>) -> Option<TokenSource> {
    let (kind, node) = node.variant(&["header", "query", "cookie"])?;
    if kind == "header" {
        let fields = node.fields(&["name", "scheme"])?;
        let name = fields.read("name", values::header_name);
        let scheme = fields.maybe("scheme", |node| {
            let is_scheme =
                |text: &str| text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            node.string_that("a scheme like Bearer", is_scheme).map(Rc::from)
        });
        let (name, scheme) = (name?, scheme?);
        if scheme.is_none() && &*name == "authorization" {
            return node.problem("the header authorization needs a `scheme`, like Bearer");
        }
        return Some(TokenSource::Header { name, scheme });
    }
    let name = node.fields(&["name"])?.required("name")?;
    let is_plain = |text: &str| {
        text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let name: Rc<str> =
        name.string_that("a name of letters, digits, -, _ and ., at most 64", is_plain)?.into();
    Some(if kind == "query" { TokenSource::Query { name } } else { TokenSource::Cookie { name } })
}

fn token_header(source: &TokenSource) -> Option<&Rc<str>> {
    match source {
        TokenSource::Header { name, .. } => Some(name),
        TokenSource::Query { .. } | TokenSource::Cookie { .. } => None,
    }
}

fn forwarded_claims(node: &Node<'_>) -> Option<Vec<ForwardedClaim>> {
    node.distinct_by(MAX_FORWARDED, "header", forwarded_claim, |a, b| a.header == b.header)
}

fn forwarded_claim(node: &Node<'_>) -> Option<ForwardedClaim> {
    let fields = node.fields(&["claim", "header", "type", "separator"])?;
    let claim: Option<ClaimPath> = fields.read("claim", values::claim_path);
    let header = fields.read("header", |node| {
        let header = values::header_name(node)?;
        if is_reserved(&header) {
            return node.problem("this header controls the connection or the proxy: choose another");
        }
        Some(header)
    });
    let kind = forwarded_type(&fields);
    Some(ForwardedClaim { claim: claim?, kind: kind?, header: header? })
}

/// The type that a claim must have. A separator belongs to lists, and is not guessed: it must not occur in what it
/// separates.
fn forwarded_type(fields: &Fields<'_>) -> Option<ForwardedType> {
    let strings = ForwardedType::Strings { separator: b' ' };
    let kind = fields.or("type", ForwardedType::String, |node| {
        node.word(&[
            ("string", ForwardedType::String),
            ("integer", ForwardedType::Integer),
            ("boolean", ForwardedType::Boolean),
            ("strings", strings),
        ])
    })?;
    if kind == strings {
        let is_separator =
            |text: &str| matches!(text.as_bytes(), [byte] if *byte == b' ' || byte.is_ascii_punctuation());
        let node = fields.required("separator")?;
        let text = node.string_that("one character: a space or a punctuation mark", is_separator)?;
        return text.bytes().next().map(|separator| ForwardedType::Strings { separator });
    }
    match fields.optional("separator") {
        Some(node) => node.problem("only `type: strings` has a separator: leave it out"),
        None => Some(kind),
    }
}

/// Whether a header controls the connection or the proxy.
pub(super) fn is_reserved(header: &str) -> bool {
    values::controls_message(header)
        || ["authorization", "cookie", "forwarded", "proxy-authorization"].contains(&header)
        || ["x-envoy-", "x-forwarded-"].iter().any(|prefix| header.starts_with(prefix))
}

fn resource(
    node: &Node<'_>,
    issuers: &[Issuer],
    sources: &[TokenSource],
    table: Option<&RouteTable>,
) -> Option<Resource> {
    let fields = node.fields(&["identifier", "documentation"])?;
    let identifier = fields.read("identifier", |node| {
        let url = values::http_url(node)?;
        // RFC 9728 §1.2: no fragment, and a query is not recommended; here it would have to be part of the path.
        if url.query().is_some() {
            node.problem("a resource identifier must not have a query")
        } else {
            Some((node.string()?, url))
        }
    });
    let documentation =
        fields.maybe("documentation", |node| values::http_url(node).and_then(|_| node.string()));
    let mut scopes: Vec<Rc<str>> = Vec::new();
    for route in table.into_iter().flat_map(|table| table.routes()) {
        if let Rule::Require(requirement) = &route.rule {
            scopes.extend(requirement.scopes().cloned());
        }
    }
    scopes.sort_unstable();
    scopes.dedup();
    let servers: Vec<Rc<str>> = issuers.iter().map(|issuer| Rc::clone(&issuer.rules.issuer)).collect();
    // RFC 9728 §2 has no word for cookies, nor for headers of other names.
    let by_header =
        sources.iter().any(|source| token_header(source).is_some_and(|name| **name == *"authorization"));
    let by_query = sources.iter().any(|source| matches!(source, TokenSource::Query { .. }));
    let methods: Vec<&str> = [("header", by_header), ("query", by_query)]
        .into_iter()
        .filter_map(|(method, is_used)| is_used.then_some(method))
        .collect();
    let (text, url) = identifier?;
    Some(Resource::new(text, &url, &servers, &scopes, &methods, documentation?))
}

fn denials(node: &Node<'_>) -> Option<DenialSettings> {
    let fields = node.fields(&["realm", "body", "detail"])?;
    let default = default_denials();
    let realm = fields.maybe("realm", values::quotable);
    let body = fields.or("body", default.body, |node| {
        node.word(&[("none", DenialBody::None), ("problem_json", DenialBody::ProblemJson)])
    });
    let detail = fields
        .or("detail", default.detail, |node| node.word(&[("full", Detail::Full), ("terse", Detail::Terse)]));
    let denials = DenialSettings { realm: realm?, body: body?, detail: detail? };
    if denials.detail == Detail::Terse && (denials.realm.is_some() || denials.body != DenialBody::None) {
        return node.problem("`detail: terse` shows neither `realm` nor `body`: leave them out");
    }
    Some(denials)
}

pub(super) fn waiting(node: &Node<'_>) -> Option<WaitingBounds> {
    let fields = node.fields(&["requests", "deadline"])?;
    let requests = fields.or("requests", DEFAULT_WAITING.requests, |node| node.integer(1, 10_000));
    let deadline = fields.or("deadline", DEFAULT_WAITING.deadline, |node| {
        node.duration(Duration::from_millis(10), Duration::from_secs(60))
    });
    Some(WaitingBounds { requests: requests?, deadline: deadline? })
}

fn cache(node: &Node<'_>) -> Option<Option<CacheSettings>> {
    if node.value().as_str().is_some() {
        return node.word(&[("off", None)]);
    }
    let fields = node.fields(&["entries", "bytes"])?;
    let entries = fields.or("entries", DEFAULT_CACHE.entries, |node| node.integer(1, 1_000_000));
    let bytes = fields.or("bytes", DEFAULT_CACHE.bytes, |node| node.integer(65_536, 134_217_728));
    Some(Some(CacheSettings { entries: entries?, bytes: bytes? }))
}

fn default_token() -> (Vec<TokenSource>, AfterVerification) {
    let bearer = TokenSource::Header { name: "authorization".into(), scheme: Some("Bearer".into()) };
    (vec![bearer], AfterVerification::Forward)
}

const fn default_denials() -> DenialSettings {
    DenialSettings { realm: None, body: DenialBody::None, detail: Detail::Full }
}

/// A few seconds at a few dozen requests a second: what comes in while a proxy starts.
pub(super) const DEFAULT_WAITING: WaitingBounds =
    WaitingBounds { requests: 256, deadline: Duration::from_secs(5) };
/// Thousands of machine clients with tokens of one to two kilobytes.
const DEFAULT_CACHE: CacheSettings = CacheSettings { entries: 8192, bytes: 16 * 1024 * 1024 };
/// Each place costs a look at every request.
const MAX_SOURCES: usize = 8;
/// Each costs a host call on every request.
const MAX_FORWARDED: usize = 16;
