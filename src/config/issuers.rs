//! The list `inbound.issuers`.

use core::time::Duration;
use std::rc::Rc;

use super::reader::{Node, printable, refuse_duplicates};
use super::{Environment, words};
use crate::base::Secret;
use crate::claims::{Audiences, ClaimPath, Expiry, Rules, TokenType};
use crate::inbound::Issuer;
use crate::issuer::{KeySource, RemoteKeys};
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
    let name = fields.required("name").and_then(|node| words::name(&node));
    let identifier = fields.required("issuer").and_then(|node| {
        node.text_that("an issuer of visible ASCII characters", |text| {
            text.bytes().all(|b| b.is_ascii_graphic())
        })
    });
    let audiences = fields.required("audiences").and_then(|node| audiences(&node));
    let algorithms = fields.or("algorithms", AlgorithmSet::ASYMMETRIC, |node| algorithms(&node));
    let keys = fields.required("keys").and_then(|node| keys(&node, algorithms, environment));
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
            node.each(MAX_SCOPE_CLAIMS, |item| words::claim_path(&item).map(|path| (item.clone(), path)))?;
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
            scopes_from: scopes_from?,
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
    algorithms: Option<AlgorithmSet>,
    environment: &dyn Environment,
) -> Option<KeySource> {
    let (kind, node) = node.variant(&["jwks", "inline", "shared_secret"])?;
    let is_symmetric = algorithms.map(|algorithms| algorithms.iter().any(Algorithm::is_symmetric));
    match kind {
        "jwks" => {
            let keys = remote_keys(&node);
            if is_symmetric == Some(true) {
                return node
                    .problem("HS* keys are secrets, and a fetched document is none: use shared_secret");
            }
            keys.map(KeySource::Remote)
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

fn remote_keys(node: &Node<'_>) -> Option<RemoteKeys> {
    let fields = node.fields(&["uri", "cluster", "timeout", "refresh", "unknown_key_interval"])?;
    let uri = fields.required("uri").and_then(|node| words::http_url(&node));
    let cluster = fields.required("cluster").and_then(|node| node.text().map(Rc::from));
    let timeout = fields.or("timeout", DEFAULT_TIMEOUT, |node| {
        node.duration(Duration::from_millis(10), Duration::from_secs(60))
    });
    let refresh = fields.or("refresh", DEFAULT_REFRESH, |node| {
        node.duration(Duration::from_secs(1), Duration::from_secs(24 * 3600))
    });
    let unknown_key_interval = fields.or("unknown_key_interval", DEFAULT_UNKNOWN_KEY_INTERVAL, |node| {
        node.duration(Duration::from_millis(100), Duration::from_secs(3600))
    });
    let uri = uri?;
    let host = uri.host_str().unwrap_or_default();
    let authority = uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(RemoteKeys {
        cluster: cluster?,
        scheme: if uri.scheme() == "http" { "http" } else { "https" },
        authority: authority.into(),
        path: format!("{}{query}", uri.path()).into(),
        timeout: timeout?,
        refresh: refresh?,
        unknown_key_interval: unknown_key_interval?,
    })
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
    use base64ct::Encoding as _;
    let fields = node.fields(&["env", "kid"])?;
    let kid = fields.or("kid", None, |node| node.text().map(|kid| Some(kid.to_owned())));
    let secret = fields.required("env").and_then(|node| {
        let name = node.text()?;
        let Some(text) = environment.variable(name) else {
            return node.problem(format_args!(
                "the environment variable {} is not set: pass it to the VM, or export it for attachectl",
                printable(name)
            ));
        };
        let text = Secret::new(text);
        let decoded = str::from_utf8(text.expose()).ok().map(base64ct::Base64UrlUnpadded::decode_vec);
        match decoded {
            Some(Ok(secret)) => Some(Secret::new(secret)),
            Some(Err(_)) | None => node.problem("the variable does not hold base64url without padding"),
        }
    });
    Key::symmetric(secret?, kid?).map_or_else(|error| node.problem(error), Some)
}

fn default_scopes_from() -> Vec<ClaimPath> {
    ["scope", "scp"].iter().filter_map(|name| ClaimPath::new(&[name])).collect()
}

/// A gateway of several tenants has a dozen. With [`crate::jose::MAX_KEYS`] of the largest keys each, more would not fit the
/// memory of a VM; `tests/behaviour/memory.rs` adds it up.
pub const MAX_ISSUERS: usize = 64;
/// One API has a handful of names.
const MAX_AUDIENCES: usize = 64;
/// Issuers put scopes in one claim, roles in another.
const MAX_SCOPE_CLAIMS: usize = 8;
/// What clocks kept by NTP differ by at the very most.
const DEFAULT_SKEW: Duration = Duration::from_secs(30);
/// Far above what a JWKS endpoint takes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// A withdrawn key stops within this time.
const DEFAULT_REFRESH: Duration = Duration::from_secs(600);
/// Under the deadline of waiting requests, so that a request with a new key waits for one fetch and is served.
const DEFAULT_UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(2);
