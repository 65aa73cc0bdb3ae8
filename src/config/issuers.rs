//! The list `inbound.issuers`.

use core::time::Duration;
use std::rc::Rc;

use super::environment::Environment;
use super::reader::{Node, refuse_duplicates};
use super::{key_sources, values};
use crate::claims::{AskedClaims, Audiences, ClaimPath, Expiry, Rules, TokenType};
use crate::inbound::Issuer;
use crate::issuer::KeySource;
use crate::jose::{Algorithm, AlgorithmSet, Key, KeySet};

pub(super) fn read(node: &Node<'_>, environment: &dyn Environment) -> Option<Vec<Issuer>> {
    let issuers = node.each(MAX_ISSUERS, |item| issuer(item, environment))?;
    refuse_duplicates(&issuers, "issuer name", |a, b| a.name == b.name);
    refuse_duplicates(&issuers, "issuer", |a, b| a.rules.issuer == b.rules.issuer);
    issuers.into_iter().map(|(_, issuer)| issuer).collect()
}

fn issuer(node: &Node<'_>, environment: &dyn Environment) -> Option<Issuer> {
    let fields = node.fields(&[
        "name",
        "issuer",
        "audiences",
        "keys",
        "algorithms",
        "type",
        "expiry",
        "max_lifetime",
        "clock_skew",
        "scopes_from",
    ])?;
    let name = fields.read("name", values::name);
    let identifier = fields.read("issuer", values::issuer);
    let audiences = fields.read("audiences", audiences);
    let algorithms = fields.or("algorithms", AlgorithmSet::ASYMMETRIC, algorithms);
    let context = KeyContext { issuer: identifier, algorithms, environment };
    let keys = fields.read("keys", |node| keys(node, &context));
    let token_type = fields.or("type", TokenType::Any, |node| {
        node.word(&[("any", TokenType::Any), ("at+jwt", TokenType::AccessToken)])
    });
    let expiry = fields.or("expiry", Expiry::Required, |node| {
        node.word(&[("required", Expiry::Required), ("optional", Expiry::Optional)])
    });
    let max_lifetime = fields.maybe("max_lifetime", |node| {
        node.duration(Duration::from_secs(1), Duration::from_secs(366 * 24 * 3600))
    });
    let clock_skew =
        fields.or("clock_skew", DEFAULT_SKEW, |node| node.duration(Duration::ZERO, Duration::from_secs(300)));
    let scopes_from = fields.or("scopes_from", default_scopes_from(), |node| {
        node.distinct(MAX_SCOPE_CLAIMS, "claim", values::claim_path)
    });
    Some(Issuer {
        name: name?,
        rules: Rules {
            issuer: identifier?.into(),
            audiences: audiences?,
            algorithms: algorithms?,
            token_type: token_type?,
            expiry: expiry?,
            max_lifetime: max_lifetime?,
            clock_skew: clock_skew?,
            asked: AskedClaims { scopes_from: scopes_from?, ..AskedClaims::default() },
        },
        keys: keys?,
    })
}

fn audiences(node: &Node<'_>) -> Option<Audiences> {
    if node.value().as_str().is_some() {
        return node
            .string_that("a list of audiences, or the word any", |text| text == "any")
            .map(|_| Audiences::Any);
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
    issuer: Option<&'c str>,
    algorithms: Option<AlgorithmSet>,
    environment: &'c dyn Environment,
}

fn keys(node: &Node<'_>, context: &KeyContext<'_>) -> Option<Vec<KeySource>> {
    let read = |item: &Node<'_>| key_source(item, context);
    if node.value().as_list().is_none() {
        return Some(vec![read(node)?]);
    }
    node.distinct_by(MAX_KEY_SOURCES, "key source", read, |a, b| match (a, b) {
        (KeySource::Jwks(a), KeySource::Jwks(b)) => a.cluster == b.cluster && a.address == b.address,
        (KeySource::Discovery(_), KeySource::Discovery(_)) => true,
        _ => false,
    })
}

fn key_source(node: &Node<'_>, context: &KeyContext<'_>) -> Option<KeySource> {
    let KeyContext { issuer, algorithms, environment } = *context;
    let (kind, node) = node.variant(&["jwks", "discovery", "inline", "shared_secret"])?;
    let is_symmetric = algorithms.map(|algorithms| algorithms.iter().any(Algorithm::is_symmetric));
    match kind {
        "jwks" | "discovery" => {
            let keys = if kind == "jwks" {
                key_sources::jwks(&node).map(KeySource::Jwks)
            } else {
                key_sources::discovery(&node, issuer).map(KeySource::Discovery)
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

fn inline_keys(node: &Node<'_>, algorithms: AlgorithmSet) -> Option<KeySource> {
    let text = serde_json::to_vec(node.value()).unwrap_or_default();
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

fn default_scopes_from() -> Vec<ClaimPath> {
    ["scope", "scp"].iter().filter_map(|name| ClaimPath::new(&[name])).collect()
}

/// A platform that takes in the issuers of all its tenants.
pub const MAX_ISSUERS: usize = 1_000;
/// An old and a new server while one moves to the other, and a key written out for emergencies.
pub const MAX_KEY_SOURCES: usize = 4;
/// One API has a handful of names.
const MAX_AUDIENCES: usize = 64;
/// Issuers put scopes in one claim, roles in another.
const MAX_SCOPE_CLAIMS: usize = 8;
/// What clocks kept by NTP differ by at the very most.
const DEFAULT_SKEW: Duration = Duration::from_secs(30);
