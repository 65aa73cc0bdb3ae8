//! The block `inbound`, but for its issuers and routes.

use core::time::Duration;
use std::rc::Rc;

use super::environment::Environment;
use super::fetch_clients::FetchClients;
use super::reader::{Fields, Node};
use super::requirements::Requirements;
use super::{issuers, mcp, routes, streams, values};
use crate::base::WaitingBounds;
use crate::claims::{ClaimPath, ForwardedClaim, ForwardedType, TextEncoding};
use crate::inbound::{
    self, AfterVerification, CacheSettings, DenialBody, DenialSettings, Detail, Fact, FilterState, Issuer,
    IssuerIndex, McpSettings, MetadataUse, Preflight, ProtectedHeaders, ReservedHeaders, Resource, Timing,
    TokenSource,
};
use crate::policy::{LetterCase, Mode, Overridden, Overrides, PathFeatures, RouteTable, StreamEnd};
use crate::telemetry::{AuditField, AuditSettings};

/// What the block is read with.
pub(super) struct InboundContext<'c, 'n> {
    pub(super) environment: &'c dyn Environment,
    pub(super) version: u64,
    /// The clients that may fetch its keys.
    pub(super) clients: &'c FetchClients<'n>,
    /// What is recorded of each request; `None` when that could not be read.
    pub(super) audit: Option<&'c AuditSettings>,
}

pub(super) fn read(node: &Node<'_>, context: &InboundContext<'_, '_>) -> Option<inbound::Settings> {
    let &InboundContext { environment, version, clients, audit } = context;
    let fields = node.fields(&[
        "version",
        "mode",
        "issuers",
        "token",
        "forward_claims",
        "forward_payload",
        "report_header",
        "resource",
        "denials",
        "cors_preflight",
        "case_sensitive",
        "allow_overrides",
        "route_metadata",
        "mcp",
        "filter_state",
        "waiting",
        "token_cache",
        "requirements",
        "streams",
        "routes",
        "default",
    ])?;
    let version = fields.or("version", version, |node| node.integer(1, u64::MAX));
    let mode = fields.or("mode", Mode::Enforce, values::mode);
    let issuers = fields
        .read("issuers", |node| issuers::read(node, (environment, clients), mode.unwrap_or(Mode::Enforce)));
    let token = fields.or("token", default_token(), token);
    let forwarded = fields.or("forward_claims", Vec::new(), forwarded_claims);
    let payload_header =
        fields.maybe("forward_payload", |node| node.fields(&["header"])?.read("header", own_header));
    let report_header = fields.maybe("report_header", own_header);
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
    let filter_state = fields.or("filter_state", (FilterState::Denials, Vec::new()), filter_state);
    let waiting = fields.or("waiting", DEFAULT_WAITING, waiting);
    let streams = fields.or("streams", (StreamEnd::Never, streams::default_bounds()), streams::bounds);
    let cache = fields.or("token_cache", Some(DEFAULT_CACHE), cache);
    let case = routes::letter_case(&fields, LetterCase::Matters);
    let allowed_overrides = fields.or("allow_overrides", Vec::new(), allowed_overrides);
    let requirements = Requirements::new(&fields, issuers.as_deref());
    let context = routes::RouteContext {
        requirements: &requirements,
        case: case.unwrap_or_default(),
        reads_metadata: matches!(route_metadata, Some(MetadataUse::Read)),
        stream_end: streams.map(|(end, _)| end).unwrap_or_default(),
        keeps_templates: audit.is_some_and(|audit| audit.has(AuditField::PathTemplate)),
        // Another spelling of a path leads to no other rule, unless Envoy's route has a part in it.
        allowed: match route_metadata {
            Some(MetadataUse::Read) => PathFeatures::NONE,
            Some(MetadataUse::Deny | MetadataUse::Ignore) | None => PathFeatures::SPELLINGS,
        },
    };
    let table = routes::read(&fields, context);
    let mcp =
        fields.or("mcp", mcp::DEFAULT, |node| mcp::settings(node, table.as_ref().map(RouteTable::has_mcp)));
    let requirements = requirements.into_parts();
    let resource = fields.maybe("resource", |node| {
        let sources = token.as_ref().map(|(sources, _)| sources.as_slice());
        let issuers = issuers.as_deref().unwrap_or_default();
        resource(node, issuers, sources.unwrap_or_default(), table.as_ref())
    });

    let (sources, after_verification) = token?;
    let forwarded_claims: Rc<[ForwardedClaim]> = forwarded?.into();
    let (payload_header, report_header) = (payload_header?, report_header?);
    let claims = forwarded_claims.iter().enumerate();
    let claims =
        claims.map(|(index, claim)| (format!(".forward_claims[{index}].header"), Rc::clone(&claim.header)));
    let payload =
        payload_header.iter().map(|header| (".forward_payload.header".to_owned(), Rc::clone(header)));
    let report = report_header.iter().map(|header| (".report_header".to_owned(), Rc::clone(header)));
    let own: Vec<(String, Rc<str>)> = claims.chain(payload).chain(report).collect();
    let is_token = |header: &Rc<str>| sources.iter().filter_map(token_header).any(|name| name == header);
    let judges_messages = table.as_ref().is_some_and(RouteTable::has_mcp);
    for (index, (path, header)) in own.iter().enumerate() {
        if judges_messages && McpSettings::HEADERS.contains(&&**header) {
            node.below(path).problem::<()>("messages of MCP are judged by this header: choose another");
        }
        if is_token(header) {
            node.below(path).problem::<()>("the token is in this header: choose another");
        }
        // Those of claims have been compared with each other.
        if index >= forwarded_claims.len() && own.iter().take(index).any(|(_, other)| other == header) {
            node.below(path).problem::<()>("another setting sets this header: choose another");
        }
    }
    let headers = own.into_iter().map(|(_, header)| header);
    let token_headers = sources.iter().filter_map(token_header).cloned();
    let (filter_state, facts) = filter_state?;
    let (requirements, rules) = requirements?;
    let ruled: Rc<[ClaimPath]> = rules.claims().into();
    let mut issuers = issuers?;
    for issuer in &mut issuers {
        issuer.rules.asked.forwarded = Rc::clone(&forwarded_claims);
        issuer.rules.asked.subject = facts.contains(&Fact::Subject);
        issuer.rules.asked.audit = audit.map(|audit| audit.asked.clone()).unwrap_or_default();
        issuer.rules.asked.ruled = Rc::clone(&ruled);
        issuer.rules.asked.rules = rules.len();
    }
    let table = table?;
    // What a server takes for one of these could say something else than what was judged.
    let mcp_headers = McpSettings::HEADERS.into_iter().filter(|_| table.has_mcp()).map(Rc::from);
    let protected = ProtectedHeaders::new(headers.chain(token_headers).chain(mcp_headers));
    let overrides = overrides(&table, route_metadata?, preflight?, &allowed_overrides?);
    let timed = audit.is_some_and(|audit| audit.has(AuditField::DurationUs));
    let timing = if timed { Timing::Every } else { Timing::Sampled };
    Some(inbound::Settings {
        issuer_index: IssuerIndex::new(issuers.iter().map(|issuer| &issuer.rules.issuer)),
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
        mcp: mcp?,
        filter_state,
        facts: facts.into(),
        timing,
        payload_header,
        report_header,
        waiting: waiting?,
        cache: cache?,
        requirements,
        streams: if table.ends_streams() { Some(streams?.1) } else { streams.and(None) },
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
    let fields = node.fields(&["claim", "header", "type", "separator", "encoding"])?;
    let claim: Option<ClaimPath> = fields.read("claim", values::claim_path);
    let header = fields.read("header", own_header);
    let kind = forwarded_type(&fields);
    let encoding = fields.or("encoding", TextEncoding::Plain, |node| {
        let word = node.word(&[("plain", TextEncoding::Plain), ("base64url", TextEncoding::Base64url)])?;
        match kind {
            None | Some(ForwardedType::String | ForwardedType::Json) => Some(word),
            Some(ForwardedType::Integer | ForwardedType::Boolean | ForwardedType::Strings { .. }) => {
                node.problem("only `type: string` and `type: json` have an encoding: leave it out")
            }
        }
    });
    Some(ForwardedClaim { claim: claim?, kind: kind?, encoding: encoding?, header: header? })
}

/// A header that we set.
fn own_header(node: &Node<'_>) -> Option<Rc<str>> {
    let header = values::header_name(node)?;
    if is_reserved(&header) {
        return node.problem("this header controls the connection or the proxy: choose another");
    }
    Some(header)
}

/// A word for the decision, or that and a list of facts.
fn filter_state(node: &Node<'_>) -> Option<(FilterState, Vec<Fact>)> {
    let decisions =
        |node: &Node<'_>| node.word(&[("denials", FilterState::Denials), ("all", FilterState::All)]);
    if node.is_string() {
        return Some((decisions(node)?, Vec::new()));
    }
    let fields = node.fields(&["decisions", "facts"])?;
    let words = Fact::ALL.map(|fact| (fact.word(), fact));
    let decisions = fields.or("decisions", FilterState::Denials, decisions);
    let facts = fields.read("facts", |node| node.distinct(words.len(), "fact", |item| item.word(&words)));
    Some((decisions?, facts?))
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
            ("json", ForwardedType::Json),
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
    for route in table.into_iter().flat_map(RouteTable::basic_routes) {
        let requirement = route.rule.requirement();
        scopes.extend(requirement.into_iter().flat_map(|requirement| requirement.scopes()).cloned());
    }
    scopes.sort_unstable();
    scopes.dedup();
    // A trust domain is no authorization server.
    let servers: Vec<Rc<str>> =
        issuers.iter().flat_map(|issuer| issuer.rules.issuer.names()).cloned().collect();
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
        node.word(&[
            ("none", DenialBody::None),
            ("problem_json", DenialBody::ProblemJson),
            ("json_rpc", DenialBody::JsonRpc),
        ])
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
    if node.is_string() {
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
