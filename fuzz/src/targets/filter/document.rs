//! The configurations of these worlds.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use attache::config::{self, Config};
use serde_json::{Value, json};

use crate::environment::Variables;

/// Which configuration, and how many threads have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) sharing: Sharing,
    pub(super) threads: usize,
    has_cache: bool,
    /// `corp` takes tokens of ECDSA and RSA only.
    pub(super) is_strict: bool,
    pub(super) has_inbound: bool,
    pub(super) has_outbound: bool,
    refuses_unmatched: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Sharing {
    None,
    /// Documents that are public, without a seal.
    Documents,
    Sealed,
    UnsealedTokens,
}

impl Sharing {
    /// Whether nothing that another module writes is believed: what is not sealed is that module's word.
    pub(super) fn stands_planting(self) -> bool {
        matches!(self, Self::None | Self::Sealed)
    }
}

impl Shape {
    pub(super) fn new(shape: u8, halves: u8) -> Self {
        let sharing = [Sharing::Sealed, Sharing::None, Sharing::Documents, Sharing::UnsealedTokens];
        let (has_inbound, has_outbound) = match halves & 7 {
            6 => (true, false),
            7 => (false, true),
            _ => (true, true),
        };
        Self {
            sharing: sharing[usize::from(shape & 3)],
            threads: [2, 1, 3, 2][usize::from(shape >> 2 & 3)],
            has_cache: shape & 0x10 == 0,
            is_strict: shape & 0x20 != 0,
            has_inbound,
            has_outbound,
            refuses_unmatched: shape & 0x40 != 0,
        }
    }

    pub(super) fn config(self) -> Rc<Config> {
        CONFIGS.with_borrow_mut(|configs| {
            let config = configs.entry(self).or_insert_with(|| {
                let config = config::parse(self.document().to_string().as_bytes(), &Variables);
                Rc::new(config.unwrap_or_else(|problems| panic!("{problems}")))
            });
            Rc::clone(config)
        })
    }

    fn document(self) -> Value {
        let mut document = json!({ "sharing": match self.sharing {
            Sharing::None => json!("none"),
            Sharing::Documents => json!("process"),
            Sharing::Sealed => json!({ "process": { "sealing_secret": { "env": "SEAL" } } }),
            Sharing::UnsealedTokens => json!({ "process": { "tokens": "unsealed" } }),
        } });
        if self.has_inbound {
            document["inbound"] = self.inbound();
        }
        if self.has_outbound {
            document["outbound"] = self.outbound();
        }
        document
    }

    fn inbound(self) -> Value {
        let algorithms = if self.is_strict { STRICT_ALGORITHMS } else { ALGORITHMS };
        let timing = json!({ "refresh": "20s", "min_refresh": "5s", "max_staleness": "30s",
            "unknown_key_interval": "2s", "timeout": "2s" });
        let with_timing = |mut source: Value| {
            source.as_object_mut().unwrap().extend(timing.as_object().unwrap().clone());
            source
        };
        json!({
            "issuers": [
                { "name": "corp", "issuer": CORP, "audiences": [RESOURCE], "algorithms": algorithms, "keys": {
                    "jwks": with_timing(json!({ "uri": format!("{CORP}/jwks"), "cluster": "idp" })) } },
                { "name": "partner", "issuer": PARTNER, "audiences": [RESOURCE], "algorithms": ALGORITHMS, "keys": {
                    "discovery": with_timing(json!({ "cluster": "partner" })) } },
            ],
            "token": { "sources": [
                { "header": { "name": "authorization", "scheme": "Bearer" } },
                { "header": { "name": "x-token" } },
                { "query": { "name": "access_token" } },
                { "cookie": { "name": "token" } },
            ] },
            "forward_claims": [{ "claim": "sub", "header": "x-auth-subject" }],
            "denials": { "body": "problem_json" }, "filter_state": "all", "route_metadata": "read",
            "waiting": { "requests": MAX_WAITING_INBOUND, "deadline": "1s" },
            "token_cache": if self.has_cache { json!({ "entries": 4, "bytes": 65536 }) } else { json!("off") },
            "routes": [
                { "name": "orders", "match": { "path": "/orders" },
                    "require": { "issuers": ["corp"], "scopes": [READ] } },
                { "name": "admin", "match": { "path": "/admin" },
                    "require": { "issuers": ["corp"], "scopes": [ADMIN] } },
                { "name": "any", "match": { "path": "/any" },
                    "require": { "issuers": ["corp", "partner"], "authenticated": {} } },
                { "name": "partner", "match": { "path": "/partner" },
                    "require": { "issuers": ["partner"], "authenticated": {} } },
                { "name": "healthz", "match": { "path": "/healthz" }, "public": {} },
                { "name": "internal", "match": { "prefix": "/internal" }, "deny": {} },
                { "name": "trial", "match": { "prefix": "/trial" }, "mode": "report_only",
                    "require": { "issuers": ["corp"], "scopes": ["nobody"] } },
            ],
            "default": "deny",
        })
    }

    fn outbound(self) -> Value {
        let client = |name: &str, cluster: &str, authentication: Value| {
            json!({ "name": name, "client_id": name, "authentication": authentication,
                "token_endpoint": { "uri": format!("https://{cluster}.example/token"), "cluster": cluster,
                    "timeout": "2s" } })
        };
        let basic = json!({ "client_secret_basic": { "secret": { "env": "SECRET" } } });
        let assertion = json!({ "private_key_jwt": { "key": { "env": "OWN_KEY" }, "algorithm": "EdDSA",
            "audience": "https://tok2.example" } });
        let post = json!({ "client_secret_post": { "secret": { "env": "SECRET" } } });
        let mut clients = vec![client("a", "tok", basic), client("b", "tok2", assertion)];
        clients[1]["obtain"] = json!("on_demand");
        // No token can be exchanged where none is verified.
        if self.has_inbound {
            let mut exchanging = client("c", "sts", post);
            exchanging["token_exchange"] = json!({ "tokens": 3 });
            exchanging["header"] = json!({ "name": EXCHANGED_HEADER });
            clients.push(exchanging);
        }
        let destinations = clients.iter().map(|client| {
            let name = client["name"].as_str().unwrap();
            let caller_credential = if name == "b" { "deny" } else { "replace" };
            json!({ "client": name, "caller_credential": caller_credential, "chosen_by": "match",
                "match": { "authorities": [format!("{name}.internal")], "clusters": [format!("c{name}")] } })
        });
        json!({
            "position": "downstream", "destinations": destinations.collect::<Vec<_>>(), "clients": clients,
            "unmatched": if self.refuses_unmatched { "deny" } else { "pass" }, "route_metadata": "read",
            "waiting": { "requests": MAX_WAITING_OUTBOUND, "deadline": "1s" }, "purge_interval": "1s",
            "breaker": { "failures": 2, "open_duration": "1s" },
        })
    }
}

thread_local! {
    static CONFIGS: RefCell<HashMap<Shape, Rc<Config>>> = RefCell::default();
}

pub(super) const CORP: &str = "https://idp.example";
pub(super) const PARTNER: &str = "https://partner.example";
pub(super) const RESOURCE: &str = "https://api.example";
pub(super) const READ: &str = "orders:read";
pub(super) const ADMIN: &str = "orders:admin";
/// Where the token of the client that exchanges goes; the others use `authorization`.
pub(super) const EXCHANGED_HEADER: &str = "x-exchanged";
pub(super) const MAX_WAITING_INBOUND: usize = 3;
pub(super) const MAX_WAITING_OUTBOUND: usize = 4;
const ALGORITHMS: &[&str] = &["EdDSA", "ES256", "ES384", "RS256", "PS256"];
const STRICT_ALGORITHMS: &[&str] = &["ES256", "RS256", "PS256"];
