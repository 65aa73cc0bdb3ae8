//! The list `inbound.issuers`.

use core::time::Duration;
use std::rc::Rc;

use super::environment::Environment;
use super::fetch_clients::FetchClients;
use super::reader::{Fields, Node, refuse_duplicates, refuse_repeated};
use super::{key_sources, values};
use crate::claims::{
    AsciiSet, AskedClaims, Audiences, ClaimPath, Expiry, Rules, ScopeMatching, ScopeSyntax, TENANT,
    TenantTemplate, TokenIssuer, TokenType, TrustDomain,
};
use crate::inbound::Issuer;
use crate::issuer::KeySource;
use crate::jose::{Algorithm, AlgorithmSet, Key, KeySet};
use crate::policy::Mode;

/// `mode` is what an issuer has that names none.
pub(super) fn read(
    node: &Node<'_>,
    context: (&dyn Environment, &FetchClients<'_>),
    mode: Mode,
) -> Option<Vec<Issuer>> {
    let issuers = node.each(MAX_ISSUERS, |item| issuer(item, context, mode))?;
    refuse_duplicates(&issuers, "issuer name", |a, b| a.name == b.name);
    // By the same `iss`, whether it is written out or made of a template, or by the same trust domain.
    let named = |node, issuer: &Option<Issuer>| {
        let names: Vec<_> = issuer.iter().flat_map(|issuer| issuer.rules.issuer.names().cloned()).collect();
        names.into_iter().map(move |name| (node, Some(name)))
    };
    refuse_repeated(issuers.iter().flat_map(|(node, issuer)| named(node, issuer)), "", "issuer");
    refuse_duplicates(&issuers, "trust domain", |a, b| {
        matches!(a.rules.issuer, TokenIssuer::TrustDomain(_)) && a.rules.issuer == b.rules.issuer
    });
    let tenants = issuers.iter().filter_map(|(_, issuer)| match &issuer.as_ref()?.rules.issuer {
        TokenIssuer::Tenants(template) => Some(template.len()),
        TokenIssuer::Named(_) | TokenIssuer::TrustDomain(_) => None,
    });
    // A tenant takes no more than an issuer.
    if tenants.sum::<usize>().saturating_add(issuers.len()) > MAX_ISSUERS {
        return node.problem(format_args!("more than {MAX_ISSUERS} issuers and tenants in all"));
    }
    issuers.into_iter().map(|(_, issuer)| issuer).collect()
}

fn issuer(
    node: &Node<'_>,
    (environment, clients): (&dyn Environment, &FetchClients<'_>),
    mode: Mode,
) -> Option<Issuer> {
    let fields = node.fields(&[
        "name",
        "issuer",
        "tenants",
        "trust_domain",
        "audiences",
        "keys",
        "algorithms",
        "type",
        "required_claims",
        "expiry",
        "max_lifetime",
        "clock_skew",
        "scopes_from",
        "scope_separators",
        "scope_matching",
        "scope_levels",
        "client_from",
        "mode",
    ])?;
    let name = fields.read("name", values::name);
    let identity = token_issuer(&fields);
    let kind = Kind { is_svid: matches!(identity, Some(TokenIssuer::TrustDomain(_))) };
    let audiences = fields.read("audiences", |node| kind.audiences(node));
    let algorithms = fields.or("algorithms", kind.default_algorithms(), |node| kind.algorithms(node));
    let context = KeyContext { issuer: identity.as_ref(), algorithms, environment, clients };
    let keys = fields.read("keys", |node| keys(node, &context));
    let token_type = fields.or("type", kind.default_type(), |node| kind.token_type(node));
    let required = claims(token_type.map(TokenType::claims).unwrap_or_default());
    let required_claims = fields.or("required_claims", required, required_claims);
    let expiry = fields.or("expiry", Expiry::Required, |node| kind.expiry(node));
    let max_lifetime = fields.maybe("max_lifetime", |node| {
        node.duration(Duration::from_secs(1), Duration::from_secs(366 * 24 * 3600))
    });
    let clock_skew =
        fields.or("clock_skew", DEFAULT_SKEW, |node| node.duration(Duration::ZERO, Duration::from_secs(300)));
    let scopes_from = fields.or("scopes_from", claims(SCOPE_CLAIMS), claim_list);
    let scope_syntax = scope_syntax(&fields);
    let client_from = fields.or("client_from", claims(CLIENT_CLAIMS), claim_list);
    let mode = fields.or("mode", mode, values::mode);
    Some(Issuer {
        name: name?,
        rules: Rules {
            metadata_issuer: keys.as_deref().and_then(|keys| metadata_issuer(identity.as_ref()?, keys)),
            issuer: identity?,
            audiences: audiences?,
            algorithms: algorithms?,
            token_type: token_type?,
            required_claims: required_claims?,
            expiry: expiry?,
            max_lifetime: max_lifetime?,
            clock_skew: clock_skew?,
            asked: AskedClaims {
                scopes_from: scopes_from?,
                scope_syntax: scope_syntax?,
                client_from: client_from?,
                ..AskedClaims::default()
            },
        },
        keys: keys?,
        mode: mode?,
    })
}

/// Whose tokens: `issuer`, with `tenants` where it is a template, or `trust_domain`.
fn token_issuer(fields: &Fields<'_>) -> Option<TokenIssuer> {
    let is_tenant = |text: &str| {
        text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let tenants = fields.optional("tenants");
    let listed = fields.maybe("tenants", |node| {
        let expected = "a tenant of letters, digits, `.`, `_` and `-`, at most 128";
        node.distinct(MAX_ISSUERS, "tenant", |item| item.string_that(expected, is_tenant))
    });
    match (fields.optional("issuer"), fields.optional("trust_domain")) {
        (Some(node), None) => {
            let text = values::issuer(&node)?;
            let is_template = text.contains(['{', '}']);
            match (is_template, listed?) {
                (true, Some(tenants)) => TenantTemplate::new(text, tenants)
                    .map(TokenIssuer::Tenants)
                    .or_else(|| node.problem(format_args!("expected {TENANT} once, and no other braces"))),
                (true, None) => {
                    node.problem("a template for several tenants: list those to accept in `tenants`")
                }
                (false, None) => Some(TokenIssuer::Named(text.into())),
                (false, Some(_)) => tenants.and_then(|node| {
                    node.problem(format_args!("tenants belong to a template: write {TENANT} into `issuer`"))
                }),
            }
        }
        (None, Some(node)) => {
            let is_name = |text: &str| TrustDomain::parse(text).is_some();
            let expected = "a SPIFFE trust domain of a-z, 0-9, `.`, `-` and `_`, at most 255 characters";
            let name = node.string_that(expected, is_name);
            if let Some(node) = tenants {
                return node.problem("a trust domain has no tenants: leave them out");
            }
            TrustDomain::parse(name?).map(TokenIssuer::TrustDomain)
        }
        _ => fields.node().problem("expected exactly one of issuer, trust_domain"),
    }
}

/// What kind of tokens an issuer issues.
struct Kind {
    /// JWT-SVIDs, whose rules leave less to choose.
    is_svid: bool,
}

impl Kind {
    fn audiences(&self, node: &Node<'_>) -> Option<Audiences> {
        let audiences = audiences(node)?;
        if self.is_svid && audiences == Audiences::Any {
            return node.problem("a JWT-SVID is for an audience: list those to accept");
        }
        Some(audiences)
    }

    /// JWT-SVID §2.1 lists no EdDSA.
    fn default_algorithms(&self) -> AlgorithmSet {
        let known = AlgorithmSet::ASYMMETRIC.iter();
        known.filter(|algorithm| !self.is_svid || *algorithm != Algorithm::EdDsa).collect()
    }

    fn algorithms(&self, node: &Node<'_>) -> Option<AlgorithmSet> {
        let listed = algorithms(node)?;
        if self.is_svid && listed.iter().any(Algorithm::is_symmetric) {
            return node.problem("JWT-SVIDs are never signed by HS*");
        }
        Some(listed)
    }

    fn default_type(&self) -> TokenType {
        if self.is_svid { TokenType::Svid } else { TokenType::Any }
    }

    fn token_type(&self, node: &Node<'_>) -> Option<TokenType> {
        let listed = node.word(&[("any", TokenType::Any), ("at+jwt", TokenType::AccessToken)]);
        if self.is_svid {
            return node.problem("a trust domain has tokens of one type: leave it out");
        }
        listed
    }

    fn expiry(&self, node: &Node<'_>) -> Option<Expiry> {
        let expiry = node.word(&[("required", Expiry::Required), ("optional", Expiry::Optional)])?;
        if self.is_svid && expiry == Expiry::Optional {
            return node.problem("a JWT-SVID expires: leave it out");
        }
        Some(expiry)
    }
}

fn audiences(node: &Node<'_>) -> Option<Audiences> {
    if node.is_string() {
        return node.lone_word("any", "a list of audiences, or the word any").map(|()| Audiences::Any);
    }
    let listed = node.distinct(MAX_AUDIENCES, "audience", Node::string)?;
    Some(Audiences::OneOf(listed.into_iter().map(Rc::from).collect()))
}

fn algorithms(node: &Node<'_>) -> Option<AlgorithmSet> {
    let listed: Vec<Algorithm> = node.distinct(Algorithm::ALL.len(), "algorithm", |item| {
        let known = || Algorithm::ALL.map(Algorithm::name).join(", ");
        let algorithm = Algorithm::parse(item.string()?);
        algorithm.or_else(|| item.problem(format_args!("expected one of {}", known())))
    })?;
    let symmetric = listed.iter().filter(|algorithm| algorithm.is_symmetric()).count();
    if symmetric > 0 && symmetric < listed.len() {
        return node
            .problem("HS* cannot be combined with other algorithms: its key is a secret, theirs is public");
    }
    Some(listed.into_iter().collect())
}

/// What the keys of an issuer are read with.
struct KeyContext<'c> {
    issuer: Option<&'c TokenIssuer>,
    algorithms: Option<AlgorithmSet>,
    environment: &'c dyn Environment,
    clients: &'c FetchClients<'c>,
}

fn keys(node: &Node<'_>, context: &KeyContext<'_>) -> Option<Vec<KeySource>> {
    let read = |item: &Node<'_>| key_source(item, context);
    if !node.is_list() {
        return Some(vec![read(node)?]);
    }
    node.distinct_by(MAX_KEY_SOURCES, "key source", read, |a, b| match (a, b) {
        (KeySource::Jwks(a), KeySource::Jwks(b)) => a.cluster == b.cluster && a.address == b.address,
        (KeySource::Discovery(_), KeySource::Discovery(_)) => true,
        _ => false,
    })
}

fn key_source(node: &Node<'_>, context: &KeyContext<'_>) -> Option<KeySource> {
    let KeyContext { issuer, algorithms, environment, clients } = *context;
    let (kind, node) = node.variant(&["jwks", "discovery", "inline", "shared_secret"])?;
    let is_symmetric = algorithms.map(|algorithms| algorithms.iter().any(Algorithm::is_symmetric));
    match kind {
        "jwks" | "discovery" => {
            let keys = if kind == "jwks" {
                key_sources::jwks(&node, clients).map(KeySource::Jwks)
            } else {
                key_sources::discovery(&node, issuer, clients).map(KeySource::Discovery)
            };
            if is_symmetric == Some(true) {
                return node
                    .problem("HS* keys are secrets, and fetched documents are public: use shared_secret");
            }
            keys
        }
        "inline" => inline_keys(&node, algorithms?),
        _ => {
            let key = shared_secret(&node, environment);
            if is_symmetric == Some(false) {
                return node.problem("list HS256, HS384 or HS512 in `algorithms` to use a shared secret");
            }
            let (key, algorithms) = (key?, algorithms?);
            if let Some(algorithm) =
                algorithms.iter().find(|algorithm| !key.algorithms().contains(*algorithm))
            {
                let name = algorithm.name();
                return node
                    .problem(format_args!("the secret is shorter than the hash of {name} (RFC 7518, 3.2)"));
            }
            Some(KeySource::Inline(Rc::new(KeySet::new(vec![key]))))
        }
    }
}

/// Whose metadata leads to keys, where that is another issuer's.
fn metadata_issuer(issuer: &TokenIssuer, keys: &[KeySource]) -> Option<Rc<str>> {
    let named = keys.iter().find_map(|source| match source {
        KeySource::Discovery(discovery) => Some(&discovery.metadata.issuer),
        KeySource::Inline(_) | KeySource::Jwks(_) => None,
    });
    named.filter(|named| ***named != *issuer.as_str()).cloned()
}

fn inline_keys(node: &Node<'_>, algorithms: AlgorithmSet) -> Option<KeySource> {
    let text = node.json()?;
    let parsed = match KeySet::parse_inline(&text) {
        Ok(parsed) => parsed,
        Err(error) => return node.problem(error),
    };
    // In a fetched document such keys are skipped; here the operator wrote them.
    for skipped in parsed.skipped.iter() {
        node.below(format_args!(".keys[{}]", skipped.index)).problem::<()>(skipped.why);
    }
    if parsed.private_members {
        return node.problem("a private key does not belong here: keep only its public members");
    }
    if !parsed.set.iter().any(|key| !key.algorithms().intersection(algorithms).is_empty()) {
        return node.problem("no key here verifies any of `algorithms`");
    }
    parsed.skipped.is_empty().then(|| KeySource::Inline(Rc::new(parsed.set)))
}

fn shared_secret(node: &Node<'_>, environment: &dyn Environment) -> Option<Key> {
    let fields = node.fields(&["env", "kid"])?;
    let kid = fields.maybe("kid", |node| node.string().map(str::to_owned));
    let secret = fields.read("env", |node| values::secret(node, environment));
    Key::symmetric(secret?, kid?).map_or_else(|error| node.problem(error), Some)
}

/// `scope_separators`, `scope_matching` and `scope_levels`.
fn scope_syntax(fields: &Fields<'_>) -> Option<ScopeSyntax> {
    let default = ScopeSyntax::default();
    let separators = fields.or("scope_separators", default.separators, |node| {
        characters(node, "one character: a space, a tab, a line feed or a punctuation mark", b" \t\n")
    });
    let none = AsciiSet::default();
    let matching = fields.or("scope_matching", default.matching, |node| {
        node.word(&[
            ("exact", ScopeMatching::Exact),
            ("hierarchical", ScopeMatching::Hierarchical(none)),
            ("wildcard", ScopeMatching::Wildcard(none)),
        ])
    });
    let levels = fields.or("scope_levels", [b':'].into_iter().collect(), |node| {
        let levels = characters(node, "one character: a punctuation mark other than *", b"");
        if matching == Some(ScopeMatching::Exact) {
            return node.problem("only hierarchical and wildcard scopes have levels: leave it out");
        }
        levels
    });
    let (separators, matching, levels) = (separators?, matching?, levels?);
    if matching != ScopeMatching::Exact && levels.meets(separators) {
        return fields.node().problem("`scope_separators` splits at one of the `scope_levels`");
    }
    Some(ScopeSyntax { separators, matching: matching.with_levels(levels) })
}

/// A list of single characters: punctuation marks, and these.
fn characters(node: &Node<'_>, expected: &str, others: &[u8]) -> Option<AsciiSet> {
    // A wildcard is no separator.
    let is_one = |byte: u8| (byte.is_ascii_punctuation() && byte != b'*') || others.contains(&byte);
    let listed = node.distinct(MAX_SEPARATORS, "character", |item| {
        let text = item.string_that(expected, |text| matches!(text.as_bytes(), [byte] if is_one(*byte)));
        text.and_then(|text| text.bytes().next())
    });
    Some(listed?.into_iter().collect())
}

fn required_claims(node: &Node<'_>) -> Option<Vec<ClaimPath>> {
    node.distinct(MAX_REQUIRED_CLAIMS, "claim", |item| {
        let claim = values::claim_path(item)?;
        // It is named in a denial.
        let is_plain = |text: &str| text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_plain(&claim.to_string()) {
            return Some(claim);
        }
        item.problem("expected a claim whose name has visible ASCII characters, at most 128")
    })
}

fn claim_list(node: &Node<'_>) -> Option<Vec<ClaimPath>> {
    node.distinct(MAX_CLAIMS, "claim", values::claim_path)
}

fn claims(names: &[&str]) -> Vec<ClaimPath> {
    names.iter().filter_map(|name| ClaimPath::new(&[name])).collect()
}

/// A platform that takes in the issuers of all its tenants.
pub const MAX_ISSUERS: usize = 1_000;
/// An old and a new server while one moves to the other, and a key written out for emergencies.
pub const MAX_KEY_SOURCES: usize = 4;
/// One API has a handful of names.
const MAX_AUDIENCES: usize = 64;
/// Issuers put scopes in one claim, roles in another.
const MAX_CLAIMS: usize = 8;
/// Issuers that do not use a space use a comma or a line feed.
const MAX_SEPARATORS: usize = 8;
/// RFC 9068 requires six.
const MAX_REQUIRED_CLAIMS: usize = 16;
/// RFC 8693 §4.2, and what several issuers have instead.
const SCOPE_CLAIMS: &[&str] = &["scope", "scp"];
/// RFC 8693 §4.3 and RFC 9068 §2.2; OpenID Connect Core §2, as Keycloak and Entra's second version have it; Entra's
/// first version; Okta.
const CLIENT_CLAIMS: &[&str] = &["client_id", "azp", "appid", "cid"];
/// What clocks kept by NTP differ by at the very most.
const DEFAULT_SKEW: Duration = Duration::from_secs(30);
