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
    let issuers: Vec<_> =
        node.list(MAX_ISSUERS)?.into_iter().map(|item| (item.clone(), issuer(&item, environment))).collect();
    let both = |a: &Option<Issuer>, b: &Option<Issuer>, same: fn(&Issuer, &Issuer) -> bool| {
        a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| same(a, b))
    };
    refuse_duplicates(&issuers, "an issuer of this name", |a, b| both(a, b, |a, b| a.name == b.name));
    refuse_duplicates(&issuers, "this issuer", |a, b| both(a, b, |a, b| a.rules.issuer == b.rules.issuer));
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
    let name = fields.required("name").and_then(|node| values::name(&node));
    let identifier = fields.required("issuer").and_then(|node| values::issuer(&node));
    let audiences = fields.required("audiences").and_then(|node| audiences(&node));
    let algorithms = fields.or("algorithms", AlgorithmSet::ASYMMETRIC, |node| algorithms(&node));
    let keys = fields.required("keys").and_then(|node| keys(&node, identifier, algorithms, environment));
    let token_type = fields.or("type", TokenType::Any, |node| {
        node.word(&[("any", TokenType::Any), ("at+jwt", TokenType::AccessToken)])
    });
    let expiry = fields.or("expiry", Expiry::Required, |node| {
        node.word(&[("required", Expiry::Required), ("optional", Expiry::Optional)])
    });
    let max_lifetime = fields.or("max_lifetime", None, |node| {
        node.duration(Duration::from_secs(1), Duration::from_secs(366 * 24 * 3600)).map(Some)
    });
    let clock_skew =
        fields.or("clock_skew", DEFAULT_SKEW, |node| node.duration(Duration::ZERO, Duration::from_secs(300)));
    let scopes_from = fields.or("scopes_from", default_scopes_from(), |node| {
        let paths =
            node.each(MAX_SCOPE_CLAIMS, |item| values::claim_path(&item).map(|path| (item.clone(), path)))?;
        refuse_duplicates(&paths, "this claim", |a, b| a == b);
        Some(paths.into_iter().map(|(_, path)| path).collect())
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
    if node.value().as_text().is_some() {
        return node
            .text_that("a list of audiences, or the word any", |text| text == "any")
            .map(|_| Audiences::Any);
    }
    let listed = node.each(MAX_AUDIENCES, |item| item.text().map(|text| (item, text)))?;
    refuse_duplicates(&listed, "this audience", |a, b| a == b);
    Some(Audiences::OneOf(listed.into_iter().map(|(_, text)| Rc::from(text)).collect()))
}

fn algorithms(node: &Node<'_>) -> Option<AlgorithmSet> {
    let listed = node.each(Algorithm::ALL.len(), |item| {
        let name = item.text()?;
        let known = || Algorithm::ALL.map(Algorithm::name).join(", ");
        let algorithm = Algorithm::parse(name);
        let algorithm = algorithm.or_else(|| item.problem(format_args!("expected one of {}", known())))?;
        Some((item, algorithm))
    })?;
    refuse_duplicates(&listed, "this algorithm", |a, b| a == b);
    let listed: Vec<Algorithm> = listed.into_iter().map(|(_, algorithm)| algorithm).collect();
    let symmetric = listed.iter().filter(|algorithm| algorithm.is_symmetric()).count();
    if symmetric > 0 && symmetric < listed.len() {
        return node
            .problem("HS* cannot stand beside other algorithms: its key is a secret, theirs is public");
    }
    Some(listed.into_iter().collect())
}

fn keys(
    node: &Node<'_>,
    issuer: Option<&str>,
    algorithms: Option<AlgorithmSet>,
    environment: &dyn Environment,
) -> Option<Vec<KeySource>> {
    if node.value().as_list().is_none() {
        return Some(vec![key_source(node, issuer, algorithms, environment)?]);
    }
    let sources: Vec<_> = node
        .list(MAX_KEY_SOURCES)?
        .into_iter()
        .map(|item| (item.clone(), key_source(&item, issuer, algorithms, environment)))
        .collect();
    refuse_duplicates(&sources, "this source", |a, b| match (a, b) {
        (Some(KeySource::Jwks(a)), Some(KeySource::Jwks(b))) => {
            a.cluster == b.cluster && a.address == b.address
        }
        (Some(KeySource::Discovery(_)), Some(KeySource::Discovery(_))) => true,
        _ => false,
    });
    sources.into_iter().map(|(_, source)| source).collect()
}

fn key_source(
    node: &Node<'_>,
    issuer: Option<&str>,
    algorithms: Option<AlgorithmSet>,
    environment: &dyn Environment,
) -> Option<KeySource> {
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
                    .problem("HS* keys are secrets, and a fetched document is none: use shared_secret");
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
    // In a fetched document such keys are passed over; here somebody wrote them down and means them.
    for skipped in &parsed.skipped {
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
    let kid = fields.or("kid", None, |node| node.text().map(|kid| Some(kid.to_owned())));
    let secret = fields.required("env").and_then(|node| values::secret(&node, environment));
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
