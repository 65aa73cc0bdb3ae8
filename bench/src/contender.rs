//! Who is measured: the same Envoy, with nothing or with one of several filters in front of the same direct response.

use std::path::Path;

use anyhow::{Result, bail};
use attachectl::rules::capabilities;
use base64ct::{Base64, Encoding as _};
use serde_json::{Map, Value, json};

use crate::envoy_under_test::{Bootstrap, LISTENER};
use crate::key::{Algorithm, key_set};
use crate::requests::{ECHO_PATH, Expectation, PATH, PUBLIC_PATH};
use crate::token::{AUDIENCE, Issuer, SCOPE};

/// What stands before the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contender {
    /// No filter.
    None,
    /// A wasm filter that does nothing: the floor of any wasm filter.
    Noop,
    /// A wasm filter that has the signature checked and looks at nothing else: what none that checks one can be faster
    /// than.
    VerifyOnly,
    /// `jwt_authn` without a cache.
    Jwt,
    /// `jwt_authn` with its cache.
    JwtCache,
    /// `jwt_authn` without a cache, and `rbac` on the scope.
    JwtRbac,
    /// `jwt_authn` with its cache, and `rbac` on the scope.
    JwtCacheRbac,
    /// The same with a cheaper rule that is not the same: the text of all scopes contains that of the one.
    JwtCacheRbacText,
    /// `JwtCacheRbac`, with claims in headers.
    JwtCacheRbacClaims,
    /// `credential_injector` with client credentials: what puts tokens on requests that go out.
    CredentialInjector,
    /// Attaché, told that no route of Envoy's carries requirements, and allowed what verifying takes.
    Attache,
    /// Attaché with neither: it looks at each request's route, and is called for each response.
    AttacheDefaults,
    /// Attaché, with claims in headers.
    AttacheClaims,
}

/// The modules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modules<'m> {
    pub(crate) attache: &'m Path,
    pub(crate) noop: &'m Path,
    pub(crate) verify_only: &'m Path,
}

impl Contender {
    pub(crate) const ALL: [Self; 13] = [
        Self::None,
        Self::Noop,
        Self::VerifyOnly,
        Self::Jwt,
        Self::JwtCache,
        Self::JwtRbac,
        Self::JwtCacheRbac,
        Self::JwtCacheRbacText,
        Self::JwtCacheRbacClaims,
        Self::CredentialInjector,
        Self::Attache,
        Self::AttacheDefaults,
        Self::AttacheClaims,
    ];

    /// Its name in `summary.json`.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Noop => "noop",
            Self::VerifyOnly => "verify_only",
            Self::Jwt => "jwt",
            Self::JwtCache => "jwt_cache",
            Self::JwtRbac => "jwt_rbac",
            Self::JwtCacheRbac => "jwt_cache_rbac",
            Self::JwtCacheRbacText => "jwt_cache_rbac_text",
            Self::JwtCacheRbacClaims => "jwt_cache_rbac_claims",
            Self::CredentialInjector => "credential_injector",
            Self::Attache => "attache",
            Self::AttacheDefaults => "attache_defaults",
            Self::AttacheClaims => "attache_claims",
        }
    }

    /// Its name in a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "no filter",
            Self::Noop => "no-op wasm",
            Self::VerifyOnly => "wasm, signature only",
            Self::Jwt => "jwt_authn",
            Self::JwtCache => "jwt_authn + cache",
            Self::JwtRbac => "jwt_authn + RBAC",
            Self::JwtCacheRbac => "jwt_authn + cache + RBAC",
            Self::JwtCacheRbacText => "jwt_authn + cache + RBAC on text",
            Self::JwtCacheRbacClaims => "jwt_authn + cache + RBAC, claims",
            Self::CredentialInjector => "credential_injector, OAuth 2",
            Self::Attache => "Attaché",
            Self::AttacheDefaults => "Attaché, defaults",
            Self::AttacheClaims => "Attaché, claims",
        }
    }

    /// The status that this contender answers with.
    pub(crate) fn status(self, expectation: Expectation) -> &'static [u16] {
        match (self, expectation) {
            (Self::None | Self::Noop, _) | (_, Expectation::Permitted) => &[200],
            // The scope is nothing to them, or is found in a longer one.
            (Self::Jwt | Self::JwtCache | Self::JwtCacheRbacText, Expectation::Forbidden) => &[200],
            (_, Expectation::Forbidden) => &[403],
            // Only ours has a budget for checks that fail.
            (Self::Attache | Self::AttacheDefaults | Self::AttacheClaims, Expectation::Flood) => &[401, 503],
            (_, Expectation::Unauthorized | Expectation::Flood) => &[401],
        }
    }

    /// Whether it puts claims into headers.
    pub(crate) fn forwards_claims(self) -> bool {
        matches!(self, Self::JwtCacheRbacClaims | Self::AttacheClaims)
    }

    /// Envoy's bootstrap for it, where tokens are verified.
    pub(crate) fn bootstrap(self, modules: Modules<'_>, issuer: &Issuer) -> Result<Bootstrap> {
        let claims = self.forwards_claims();
        let filters = match self {
            Self::None => vec![],
            Self::Noop => vec![wasm("noop", modules.noop, None)],
            Self::VerifyOnly => {
                let mut filter = wasm("verify-only", modules.verify_only, None);
                filter["typed_config"]["config"]["configuration"] = json!({
                    "@type": "type.googleapis.com/google.protobuf.BytesValue",
                    "value": Base64::encode_string(&beginnings(issuer)?),
                });
                vec![filter]
            }
            Self::Jwt => vec![jwt_authn(issuer, false, Payload::Unused, claims)],
            Self::JwtCache => vec![jwt_authn(issuer, true, Payload::Unused, claims)],
            Self::JwtRbac => vec![jwt_authn(issuer, false, Payload::Words, claims), rbac(Payload::Words)],
            Self::JwtCacheRbac | Self::JwtCacheRbacClaims => {
                vec![jwt_authn(issuer, true, Payload::Words, claims), rbac(Payload::Words)]
            }
            Self::JwtCacheRbacText => {
                vec![jwt_authn(issuer, true, Payload::Text, claims), rbac(Payload::Text)]
            }
            Self::CredentialInjector => bail!("{} verifies no token", self.name()),
            Self::Attache | Self::AttacheDefaults | Self::AttacheClaims => {
                let mut document = document(issuer, claims);
                let is_told = self != Self::AttacheDefaults;
                if is_told {
                    // Neither `jwt_authn` nor `rbac` looks for requirements on Envoy's routes.
                    document["inbound"]["route_metadata"] = "ignore".into();
                }
                let mut filter = wasm("attache", modules.attache, Some(&document));
                if is_told {
                    let allowed: Map<String, Value> =
                        capabilities::of_inbound().map(|name| (name.to_owned(), json!({}))).collect();
                    filter["typed_config"]["config"]["vm_config"]["capability_restriction_config"] =
                        json!({ "allowed_capabilities": allowed });
                }
                vec![filter]
            }
        };
        Ok(bootstrap(filters))
    }
}

/// Envoy's bootstrap with these filters before the router.
pub(crate) fn bootstrap(mut filters: Vec<Value>) -> Bootstrap {
    filters.push(router());
    let ok = json!({ "status": 200, "body": { "inline_string": "ok\n" } });
    let echo = |header: &str| json!({ "header": { "key": format!("echo-{header}"), "value": format!("%REQ({header})%") } });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        // As in envoy.yaml.
        "use_remote_address": true,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "http_filters": filters,
        "route_config": { "name": "bench", "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [
                {
                    "match": { "path": ECHO_PATH },
                    "direct_response": ok,
                    "response_headers_to_add": CLAIMS.map(|(_, header)| echo(header)),
                },
                { "match": { "prefix": "/" }, "direct_response": ok },
            ],
        }] },
    });
    let anywhere = json!({ "socket_address": { "address": "127.0.0.1", "port_value": 0 } });
    let bootstrap = json!({
        "node": { "id": "bench", "cluster": "bench" },
        "admin": { "address": anywhere },
        "static_resources": { "listeners": [{
            "name": LISTENER,
            "address": anywhere,
            "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
        }] },
    });
    bootstrap.into()
}

/// What ends a listener's filters.
pub(crate) fn router() -> Value {
    json!({
        "name": "router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    })
}

/// A wasm filter.
pub(crate) fn wasm(name: &str, module: &Path, document: Option<&Value>) -> Value {
    let mut config = json!({
        "name": name,
        "root_id": name,
        "vm_config": {
            "vm_id": name,
            "runtime": "envoy.wasm.runtime.v8",
            "code": { "local": { "filename": module } },
        },
    });
    if let Some(document) = document {
        config["configuration"] =
            json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": document });
    }
    let wasm = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    json!({ "name": name, "typed_config": { "@type": wasm, "config": config } })
}

/// What the arguments of `verify_signature` begin with, hash and key, for ES256 and for RS256, and the length of the
/// first.
fn beginnings(issuer: &Issuer) -> Result<Vec<u8>> {
    let beginning = |algorithm| {
        let key = issuer.key(algorithm)?.subject_public_key_info()?;
        let mut fields = vec![0x0a, 6];
        fields.extend_from_slice(b"sha256");
        fields.push(0x12);
        // Two bytes of LEB128, also where one would do.
        fields.extend([u8::try_from(key.len() & 0x7f)? | 0x80, u8::try_from(key.len() >> 7)?]);
        fields.extend(key);
        Ok::<_, anyhow::Error>(fields)
    };
    let (es256, rs256) = (beginning(Algorithm::Es256)?, beginning(Algorithm::Rs256)?);
    let length = u16::try_from(es256.len())?.to_le_bytes();
    Ok([&length[..], &es256, &rs256].concat())
}

/// Attaché's configuration: the same rule as `jwt_authn` and `rbac` have.
fn document(issuer: &Issuer, claims: bool) -> Value {
    let mut inbound = json!({
        "issuers": [issuer_entry("bench", issuer)],
        "routes": [
            { "name": "orders", "match": { "prefix": PATH }, "require": { "scopes": [SCOPE] } },
            { "name": "health", "match": { "path": PUBLIC_PATH }, "public": {} },
        ],
        "default": "deny",
    });
    if claims {
        inbound["forward_claims"] =
            CLAIMS.iter().map(|(claim, header)| json!({ "claim": claim, "header": header })).collect();
    }
    json!({ "inbound": inbound })
}

/// An issuer in Attaché's configuration.
pub(crate) fn issuer_entry(name: &str, issuer: &Issuer) -> Value {
    json!({
        "name": name,
        "issuer": issuer.identifier,
        "audiences": [AUDIENCE],
        "keys": { "inline": key_set(&issuer.keys) },
    })
}

/// What `jwt_authn` hands to `rbac`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Payload {
    /// Nothing: there is no `rbac`.
    Unused,
    /// The claims as they are: the scopes are one text.
    Text,
    /// The claims with the scopes as a list of words, as Istio has it.
    Words,
}

fn jwt_authn(issuer: &Issuer, is_caching: bool, payload: Payload, claims: bool) -> Value {
    let mut provider = json!({
        "issuer": issuer.identifier,
        "audiences": [AUDIENCE],
        "local_jwks": { "inline_string": key_set(&issuer.keys).to_string() },
        // As Attaché does: the token stays, `exp` must be there, clocks may differ by as much.
        "forward": true,
        "require_expiration": true,
        "clock_skew_seconds": 30,
    });
    if payload != Payload::Unused {
        provider["payload_in_metadata"] = PAYLOAD.into();
    }
    if payload == Payload::Words {
        provider["normalize_payload_in_metadata"] = json!({ "space_delimited_claims": ["scope"] });
    }
    if is_caching {
        provider["jwt_cache_config"] = json!({ "jwt_cache_size": CACHE_SIZE });
    }
    if claims {
        provider["claim_to_headers"] = CLAIMS
            .iter()
            .map(|(claim, header)| json!({ "claim_name": claim, "header_name": header }))
            .collect();
    }
    json!({
        "name": JWT_AUTHN,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": { "bench": provider },
            "rules": [{ "match": { "path_separated_prefix": PATH }, "requires": { "provider_name": "bench" } }],
        },
    })
}

/// The scope is one of the words: `rbac` finds it in a list of words, or whatever contains it in the text of them all.
fn rbac(payload: Payload) -> Value {
    let matcher = if payload == Payload::Text {
        json!({ "string_match": { "contains": SCOPE } })
    } else {
        json!({ "list_match": { "one_of": { "string_match": { "exact": SCOPE } } } })
    };
    let has_scope = json!({ "sourced_metadata": { "metadata_matcher": {
        "filter": JWT_AUTHN,
        "path": [{ "key": PAYLOAD }, { "key": "scope" }],
        "value": matcher,
    } } });
    let path = |matcher: Value| json!({ "url_path": { "path": matcher } });
    let mut policies = Map::new();
    policies.insert(
        "orders".into(),
        json!({ "permissions": [path(json!({ "prefix": PATH }))], "principals": [has_scope] }),
    );
    policies.insert(
        "health".into(),
        json!({ "permissions": [path(json!({ "exact": PUBLIC_PATH }))], "principals": [{ "any": true }] }),
    );
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": "ALLOW", "policies": policies },
        },
    })
}

/// Which claims go into which headers.
pub(crate) const CLAIMS: [(&str, &str); 2] = [("client_id", "x-auth-client-id"), ("sub", "x-auth-subject")];
/// As many tokens as Attaché keeps by default.
const CACHE_SIZE: u32 = 8_192;
const JWT_AUTHN: &str = "envoy.filters.http.jwt_authn";
const PAYLOAD: &str = "jwt";
