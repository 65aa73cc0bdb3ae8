//! docs/issuers.md: each configuration, read from the page, against tokens as that issuer writes them. The claims are
//! those of the issuers' own references and of tokens that they have issued; only the keys are ours.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use attache::base::{HttpCall, Level, Secret};
use attache::jose::{Algorithm, Crypto as _, RustCrypto, SigningKey};
use serde_json::{Value, json};

use crate::jws;
use crate::proxy::{Drawn, Proxy, Request, START, Time as _, good, merge, status};

const PAGE: &str = include_str!("../../docs/issuers.md");
/// Private keys that everybody knows.
const KEYS: &str = include_str!("../conformance/signing_keys.json");
const KID: &str = "nW6y6ZwIf-69ior_lFjajkklX1KDzkFtnJRzNhhkUVc";

/// The sections that have configurations, and how many.
const RECIPES: &[(&str, usize)] = &[
    ("Microsoft Entra ID", 3),
    ("AD FS", 1),
    ("Okta", 1),
    ("Auth0", 1),
    ("Amazon Cognito", 1),
    ("Keycloak", 2),
    ("ForgeRock and PingAM", 1),
    ("Google", 1),
    ("Apigee", 2),
    ("Salesforce", 1),
    ("Kubernetes", 2),
    ("SPIFFE", 1),
    ("GitHub Actions", 1),
];

/// The YAML blocks under the page's headings.
fn blocks(heading: &str) -> Vec<&'static str> {
    let mut sections = PAGE.split("\n## ").skip(1);
    let section = sections.find(|section| section.lines().next() == Some(heading));
    let section = section.unwrap_or_else(|| panic!("docs/issuers.md has no section {heading}"));
    let blocks = section.split("```yaml\n").skip(1);
    blocks.map(|block| block.split_once("```").expect("the block ends").0).collect()
}

#[test]
fn each_configuration_of_the_page_has_its_test() {
    let headings = PAGE.split("\n## ").skip(1).map(|section| section.lines().next().unwrap());
    let counted = headings.map(|heading| (heading, blocks(heading).len())).filter(|(_, count)| *count > 0);
    assert_eq!(counted.collect::<Vec<_>>(), RECIPES);
    let this = include_str!("recipes.rs");
    for (heading, count) in RECIPES {
        for number in 0..*count {
            let call = format!("Recipe::of(\"{heading}\", {number})");
            assert_eq!(this.matches(&call).count(), 1, "`{call}` is in one test");
        }
    }
}

#[test]
fn each_issuer_of_the_page_is_a_row_of_its_table() {
    let (_, table) = PAGE.split_once("| issuer |").expect("the page has the table");
    let table = table.split("\n\n").next().unwrap();
    for (heading, _) in RECIPES {
        let word = heading.split(' ').find(|word| !["Microsoft", "Amazon"].contains(word)).unwrap();
        assert!(table.contains(&format!("\n| {word}")), "{heading}");
    }
}

/// A configuration of the page in a filter, and what the clusters serve.
struct Recipe {
    proxy: Proxy,
    clusters: BTreeSet<String>,
    served: Rc<RefCell<BTreeMap<(String, String), String>>>,
    algorithm: Algorithm,
}

/// What an issuer writes: header and claims.
#[derive(Clone)]
struct Token {
    header: Value,
    claims: Value,
}

impl Recipe {
    /// The configuration of this number under this heading. Nothing is served yet.
    #[track_caller]
    fn of(heading: &str, number: usize) -> Self {
        let config: Value = serde_saphyr::from_str(blocks(heading)[number]).expect("the block is YAML");
        let mut clusters = BTreeSet::new();
        find_clusters(&config, &mut clusters);
        let mut proxy = Proxy::new(&config);
        let served: Rc<RefCell<BTreeMap<(String, String), String>>> = Rc::default();
        for cluster in &clusters {
            let (served, name) = (Rc::clone(&served), cluster.clone());
            // An address that the issuer does not have is not found, whatever the filter tries first.
            proxy.script(cluster, move |call| {
                let document = served.borrow().get(&(name.clone(), address(call))).cloned();
                Some(document.map_or_else(|| status(404), |document| good(&document)))
            });
        }
        Self { proxy, clusters, served, algorithm: Algorithm::Rs256 }
    }

    /// The issuer signs with ES256, as the configuration says.
    fn signing_es256(mut self) -> Self {
        self.algorithm = Algorithm::Es256;
        self
    }

    /// Behind the cluster, this address has this document.
    #[track_caller]
    fn serving(self, cluster: &str, address: &str, document: &Value) -> Self {
        assert!(self.clusters.contains(cluster), "the page has no cluster {cluster}");
        self.served.borrow_mut().insert((cluster.to_owned(), address.to_owned()), document.to_string());
        self
    }

    /// Metadata at this address, and the key set that they name.
    #[track_caller]
    fn discovered(self, cluster: &str, metadata: &str, issuer: &str, jwks: (&str, &str)) -> Self {
        let document = json!({ "issuer": issuer, "jwks_uri": format!("https://{}", jwks.1) });
        let key_set = self.key_set(json!({}));
        self.serving(cluster, metadata, &document).serving(jwks.0, jwks.1, &key_set)
    }

    /// The issuer's key set; each key is patched.
    fn key_set(&self, patch: Value) -> Value {
        let mut jwk = private_jwk(self.algorithm);
        jwk.as_object_mut().unwrap().retain(|name, _| ["kty", "n", "e", "crv", "x", "y"].contains(&&**name));
        merge(&mut jwk, json!({ "kid": KID, "use": "sig", "alg": self.algorithm.name() }));
        merge(&mut jwk, patch);
        json!({ "keys": [jwk] })
    }

    fn sign(&self, token: &Token) -> String {
        let key = SigningKey::parse(&Secret::new(private_jwk(self.algorithm).to_string())).unwrap();
        let key = key.allow_portable_rsa(true);
        let [header, claims] = [&token.header, &token.claims].map(|part| part.to_string().into_bytes());
        let sign = |message: &[u8]| Ok(RustCrypto.sign(self.algorithm, &key, message, &Drawn).unwrap());
        jws::write_raw(&header, &claims, sign).unwrap()
    }

    #[track_caller]
    fn tells(&mut self, method: &str, path: &str, token: &Token) -> String {
        if self.proxy.sent().is_empty() {
            // One document names the other.
            self.proxy.advance(1.secs());
        }
        let token = self.sign(token);
        let request = Request::new(method, path).bearer(&token);
        let answer = self.proxy.request(request).tells();
        assert_ne!(answer, "waiting", "no keys: {:?}", self.proxy.logs(Level::Info));
        answer
    }

    #[track_caller]
    fn permits(&mut self, request: &str, token: &Token) {
        let (method, path) = request.split_once(' ').unwrap();
        assert_eq!(self.tells(method, path, token), "forwarded", "{}", token.claims);
    }

    /// The token is refused with this status and for this reason.
    #[track_caller]
    fn refuses(&mut self, request: &str, token: &Token, why: &str) {
        let (method, path) = request.split_once(' ').unwrap();
        assert_eq!(self.tells(method, path, token), why, "{}", token.claims);
    }
}

impl Token {
    fn new(header: Value, claims: Value) -> Self {
        Self { header, claims }
    }

    /// The same with these claims; `null` removes one.
    fn with(&self, claims: Value) -> Self {
        let mut changed = self.clone();
        merge(&mut changed.claims, claims);
        changed
    }

    /// The same with this type in the header.
    fn of_type(&self, typ: &str) -> Self {
        let mut changed = self.clone();
        changed.header["typ"] = json!(typ);
        changed
    }
}

fn private_jwk(algorithm: Algorithm) -> Value {
    let keys: Value = serde_json::from_str(KEYS).unwrap();
    let kty = if algorithm == Algorithm::Rs256 { "RSA" } else { "EC" };
    let mut keys = keys.as_array().unwrap().iter().map(|entry| &entry["jwk"]);
    keys.find(|jwk| jwk["kty"] == kty).unwrap().clone()
}

/// `host/path?query`
fn address(call: &HttpCall) -> String {
    let field = |name: &str| {
        let found = call.headers.iter().find(|(field, _)| &**field == name);
        String::from_utf8(found.unwrap().1.expose().to_vec()).unwrap()
    };
    format!("{}{}", field(":authority"), field(":path"))
}

/// Every `cluster` and `…_cluster` of a document.
fn find_clusters(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(cluster) if name.ends_with("cluster") => drop(found.insert(cluster.to_owned())),
                    _ => find_clusters(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find_clusters(item, found)),
        _ => {}
    }
}

const TENANT: &str = "8f3ad0c8-1c0e-4b0f-9b0c-3f6a5b7c2d11";
const OTHER_TENANT: &str = "c4a1e5d2-7b3f-4d8e-a6c9-0e1f2a3b4c5d";
const API: &str = "2b6f1c9e-55d0-4f0a-8c3e-7d1a9e4b6f02";

/// An application's token of version 2.
fn entra_v2(tenant: &str) -> Token {
    let iss = format!("https://login.microsoftonline.com/{tenant}/v2.0");
    Token::new(
        json!({ "typ": "JWT", "alg": "RS256", "kid": KID }),
        json!({
            "aud": API, "iss": iss, "iat": START, "nbf": START, "exp": START + 3900,
            "aio": "k2RgYGgPVSpp", "azp": "d0b1c2a3-9f8e-4d7c-b6a5-948372615049", "azpacr": "1",
            "oid": "1e8f0a6b-3c2d-4b5a-9786-a5b4c3d2e1f0", "rh": "1.AAAA0AE",
            "roles": ["Orders.Read.All"], "sub": "1e8f0a6b-3c2d-4b5a-9786-a5b4c3d2e1f0",
            "tid": tenant, "uti": "Z5V8rKJfTkqX0AAA", "ver": "2.0",
        }),
    )
}

/// An application's token of version 1.
fn entra_v1() -> Token {
    Token::new(
        json!({ "typ": "JWT", "alg": "RS256", "x5t": KID, "kid": KID }),
        json!({
            "aud": "api://orders", "iss": format!("https://sts.windows.net/{TENANT}/"),
            "iat": START, "nbf": START, "exp": START + 3900, "aio": "k2RgYGgPVSpp",
            "appid": "d0b1c2a3-9f8e-4d7c-b6a5-948372615049", "appidacr": "1",
            "idp": format!("https://sts.windows.net/{TENANT}/"), "oid": "1e8f0a6b-3c2d-4b5a-9786-a5b4c3d2e1f0",
            "rh": "0.AAAA0AE", "roles": ["Orders.Read.All"], "sub": "1e8f0a6b-3c2d-4b5a-9786-a5b4c3d2e1f0",
            "tid": TENANT, "uti": "Z5V8rKJfTkqX0AAA", "ver": "1.0",
        }),
    )
}

#[test]
fn entra_id_version_2() {
    let mut entra = Recipe::of("Microsoft Entra ID", 0).discovered(
        "entra",
        &format!("login.microsoftonline.com/{TENANT}/v2.0/.well-known/openid-configuration"),
        &format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        ("entra", &format!("login.microsoftonline.com/{TENANT}/discovery/v2.0/keys")),
    );
    let token = entra_v2(TENANT);
    entra.permits("GET /orders/7", &token);
    // A user's token: the user has the role, the application has a scope.
    let user = json!({ "scp": "Orders.Read", "name": "Eva", "preferred_username": "eva@example.com" });
    entra.refuses("GET /orders/7", &token.with(user), "403 claim_not_accepted");
    // An application that nobody has assigned a role.
    entra.refuses("GET /orders/7", &token.with(json!({ "roles": null })), "403 scope_insufficient");
    entra.refuses("GET /orders/7", &token.with(json!({ "aud": "api://orders" })), "401 wrong_audience");
    entra.refuses("GET /orders/7", &entra_v2(OTHER_TENANT), "401 issuer_unknown");
    entra.refuses("GET /orders/7", &entra_v1(), "401 issuer_unknown");
}

#[test]
fn entra_id_version_1() {
    let entra = Recipe::of("Microsoft Entra ID", 1);
    let keys = entra.key_set(json!({ "x5t": KID, "alg": null }));
    let address = format!("login.microsoftonline.com/{TENANT}/discovery/keys");
    let mut entra = entra.serving("entra", &address, &keys);
    let token = entra_v1();
    entra.permits("GET /orders", &token);
    entra.refuses(
        "GET /orders",
        &token.with(json!({ "scp": "user_impersonation" })),
        "403 claim_not_accepted",
    );
    entra.refuses("GET /orders", &token.with(json!({ "roles": ["Orders.Write"] })), "403 scope_insufficient");
    entra.refuses("GET /orders", &token.with(json!({ "aud": API })), "401 wrong_audience");
    let elsewhere = json!({ "iss": format!("https://sts.windows.net/{OTHER_TENANT}/"), "tid": OTHER_TENANT });
    entra.refuses("GET /orders", &token.with(elsewhere), "401 issuer_unknown");
    entra.refuses("GET /orders", &entra_v2(TENANT), "401 issuer_unknown");
}

/// What Entra ID publishes for all tenants; its key is for this issuer.
#[track_caller]
fn entra_for_all(issuer: &str) -> Recipe {
    let entra = Recipe::of("Microsoft Entra ID", 2);
    let keys = entra.key_set(json!({ "issuer": issuer, "x5t": KID, "alg": null }));
    entra
        .discovered(
            "entra",
            "login.microsoftonline.com/common/v2.0/.well-known/openid-configuration",
            "https://login.microsoftonline.com/{tenantid}/v2.0",
            ("entra", "login.microsoftonline.com/common/discovery/v2.0/keys"),
        )
        .serving("entra", "login.microsoftonline.com/common/discovery/v2.0/keys", &keys)
}

#[test]
fn entra_id_for_several_tenants() {
    let mut entra = entra_for_all("https://login.microsoftonline.com/{tenantid}/v2.0");
    entra.permits("GET /orders", &entra_v2(TENANT));
    entra.permits("GET /orders", &entra_v2(OTHER_TENANT));
    let roleless = json!({ "roles": null });
    entra.refuses("GET /orders", &entra_v2(OTHER_TENANT).with(roleless), "403 scope_insufficient");
    let user = json!({ "scp": "Orders.Read" });
    entra.refuses("GET /orders", &entra_v2(OTHER_TENANT).with(user), "403 claim_not_accepted");
    entra.refuses("GET /orders", &entra_v2("9188040d-6c67-4c5b-b112-36a304b66dad"), "401 issuer_unknown");
    let other = json!({ "tid": OTHER_TENANT });
    entra.refuses("GET /orders", &entra_v2(TENANT).with(other), "401 wrong_tenant");
}

#[test]
fn a_key_of_entra_id_for_one_tenant_is_no_key_for_another() {
    let mut entra = entra_for_all(&format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
    entra.permits("GET /orders", &entra_v2(TENANT));
    entra.refuses("GET /orders", &entra_v2(OTHER_TENANT), "401 signature_invalid");
}

#[test]
fn ad_fs() {
    let mut adfs = Recipe::of("AD FS", 0).discovered(
        "adfs",
        "sts.example.com/adfs/.well-known/openid-configuration",
        "https://sts.example.com/adfs",
        ("adfs", "sts.example.com/adfs/discovery/keys"),
    );
    let token = Token::new(
        json!({ "typ": "JWT", "alg": "RS256", "x5t": KID, "kid": KID }),
        json!({
            "aud": "microsoft:identityserver:orders", "iss": "http://sts.example.com/adfs/services/trust",
            "iat": START, "nbf": START, "exp": START + 3600, "apptype": "Confidential",
            "appid": "6c1d8f7e-2a4b-4e0d-9b57-5d2f3c8a1e90",
            "authmethod": "http://schemas.microsoft.com/ws/2008/06/identity/authenticationmethod/password",
            "auth_time": "2027-01-15T08:00:00.000Z", "ver": "1.0",
        }),
    );
    adfs.permits("GET /orders", &token);
    let other = json!({ "appid": "0f0e0d0c-0b0a-4909-8807-060504030201", "scp": "openid" });
    adfs.refuses("GET /orders", &token.with(other), "403 client_not_accepted");
    adfs.refuses(
        "GET /orders",
        &token.with(json!({ "aud": "urn:microsoft:userinfo" })),
        "401 wrong_audience",
    );
    // An ID token.
    let id = json!({ "iss": "https://sts.example.com/adfs", "aud": "6c1d8f7e-2a4b-4e0d-9b57-5d2f3c8a1e90" });
    adfs.refuses("GET /orders", &token.with(id), "401 issuer_unknown");
}

#[test]
fn okta() {
    let mut okta = Recipe::of("Okta", 0).discovered(
        "okta",
        "example.okta.com/oauth2/default/.well-known/openid-configuration",
        "https://example.okta.com/oauth2/default",
        ("okta", "example.okta.com/oauth2/default/v1/keys"),
    );
    let token = Token::new(
        json!({ "kid": KID, "alg": "RS256" }),
        json!({
            "ver": 1, "jti": "AT.MNAoEQ_jbKqoinrQo1D0XKjMX28U5d7ZszBceot7-Ts",
            "iss": "https://example.okta.com/oauth2/default", "aud": "api://default",
            "iat": START, "exp": START + 3600, "cid": "0oa1billing2EXAMPLE3d7",
            "scp": ["orders.read", "orders.write"], "sub": "0oa1billing2EXAMPLE3d7",
        }),
    );
    okta.permits("GET /orders", &token);
    okta.permits("POST /orders", &token);
    okta.refuses("GET /orders", &token.with(json!({ "scp": ["invoices.read"] })), "403 scope_insufficient");
    let other = token.with(json!({ "cid": "0oa9other2EXAMPLE3d7", "sub": "0oa9other2EXAMPLE3d7" }));
    okta.permits("GET /orders", &other);
    okta.refuses("POST /orders", &other, "403 client_not_accepted");
    // A user's token, and one of the organization's own server.
    let user = json!({ "sub": "eva@example.com", "uid": "00uEXAMPLE", "scp": ["openid", "profile"] });
    okta.refuses("GET /orders", &token.with(user), "403 scope_insufficient");
    let own = json!({ "iss": "https://example.okta.com", "aud": "https://example.okta.com" });
    okta.refuses("GET /orders", &token.with(own), "401 issuer_unknown");
    okta.refuses("GET /orders", &token.with(json!({ "aud": "api://invoices" })), "401 wrong_audience");
}

#[test]
fn auth0() {
    let mut auth0 = Recipe::of("Auth0", 0).discovered(
        "auth0",
        "example.eu.auth0.com/.well-known/openid-configuration",
        "https://example.eu.auth0.com/",
        ("auth0", "example.eu.auth0.com/.well-known/jwks.json"),
    );
    let token = Token::new(
        json!({ "alg": "RS256", "typ": "JWT", "kid": KID }),
        json!({
            "iss": "https://example.eu.auth0.com/", "sub": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja@clients",
            "aud": "https://orders.example", "iat": START, "exp": START + 86_400,
            "scope": "orders:read orders:delete", "gty": "client-credentials",
            "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "permissions": ["orders:read", "orders:delete"],
        }),
    );
    auth0.permits("GET /orders/7", &token);
    auth0.permits("DELETE /orders/7", &token);
    auth0.permits("GET /orders/7", &token.with(json!({ "permissions": null })));
    auth0.refuses("DELETE /orders/7", &token.with(json!({ "permissions": null })), "403 claim_not_accepted");
    // The permission is there, but the client has not asked for it.
    let narrow = json!({ "scope": "orders:read" });
    auth0.refuses("DELETE /orders/7", &token.with(narrow), "403 scope_insufficient");
    let user = json!({
        "sub": "auth0|6553da60a54af58e29493993", "scope": "openid profile orders:read", "gty": null,
        "aud": ["https://orders.example", "https://example.eu.auth0.com/userinfo"],
    });
    auth0.permits("GET /orders/7", &token.with(user));
    let id = json!({ "aud": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "scope": null, "azp": null });
    auth0.refuses("GET /orders/7", &token.with(id), "401 wrong_audience");
    let bare = json!({ "iss": "https://example.eu.auth0.com" });
    auth0.refuses("GET /orders/7", &token.with(bare), "401 issuer_unknown");
}

#[test]
fn cognito() {
    let pool = "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_EXAMPLE01";
    let mut cognito = Recipe::of("Amazon Cognito", 0).discovered(
        "cognito",
        &format!("{pool}/.well-known/openid-configuration"),
        &format!("https://{pool}"),
        ("cognito", &format!("{pool}/.well-known/jwks.json")),
    );
    let token = Token::new(
        json!({ "kid": KID, "alg": "RS256" }),
        json!({
            "sub": "3n4b5urk1ft4fl3mg5e62d9ado", "token_use": "access",
            "scope": "https://orders.example/read https://orders.example/write", "auth_time": START,
            "iss": format!("https://{pool}"), "exp": START + 3600, "iat": START, "version": 2,
            "jti": "d49208e7-e619-40c7-a0b4-bb3c9607effa", "client_id": "3n4b5urk1ft4fl3mg5e62d9ado",
        }),
    );
    cognito.permits("GET /orders", &token);
    let bound = json!({ "aud": "https://orders.example" });
    cognito.permits("GET /orders", &token.with(bound));
    let other = json!({ "scope": "https://invoices.example/read" });
    cognito.refuses("GET /orders", &token.with(other), "403 scope_insufficient");
    let stranger = json!({ "client_id": "1example23456789", "sub": "1example23456789" });
    cognito.refuses("GET /orders", &token.with(stranger), "403 client_not_accepted");
    // An ID token of the same app client: it names it in `aud`.
    let id = json!({
        "token_use": "id", "aud": "3n4b5urk1ft4fl3mg5e62d9ado", "client_id": null, "scope": null,
        "cognito:username": "eva", "email": "eva@example.com",
    });
    cognito.refuses("GET /orders", &token.with(id), "403 client_not_accepted");
    let id = json!({ "token_use": "id" });
    cognito.refuses("GET /orders", &token.with(id), "403 claim_not_accepted");
    let pool = json!({ "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_EXAMPLE02" });
    cognito.refuses("GET /orders", &token.with(pool), "401 issuer_unknown");
}

/// Metadata and keys of the realm `shop`.
fn in_shop(recipe: Recipe) -> Recipe {
    let realm = "issuer.example/realms/shop";
    recipe.discovered(
        "keycloak",
        &format!("{realm}/.well-known/openid-configuration"),
        &format!("https://{realm}"),
        ("keycloak", &format!("{realm}/protocol/openid-connect/certs")),
    )
}

/// As Keycloak 26.7 has issued it to a service account.
#[test]
fn keycloak_s_roles() {
    let mut keycloak = in_shop(Recipe::of("Keycloak", 0));
    let token = Token::new(
        json!({ "alg": "RS256", "typ": "JWT", "kid": KID }),
        json!({
            "exp": START + 900, "iat": START, "jti": "trrtcc:5cc1e3f4-ca5b-6e9b-91d5-05b40b24200f",
            "iss": "https://issuer.example/realms/shop", "aud": ["orders", "account"],
            "sub": "4ec1f768-2c16-4d36-8e3b-eacb57b96eb1", "typ": "Bearer", "azp": "reporting", "acr": "1",
            "realm_access": { "roles": ["offline_access", "staff", "default-roles-shop", "uma_authorization"] },
            "resource_access": {
                "orders": { "roles": ["orders-read"] },
                "account": { "roles": ["manage-account", "manage-account-links", "view-profile"] },
            },
            "scope": "profile email", "clientHost": "10.0.0.7", "email_verified": false,
            "preferred_username": "service-account-reporting", "clientAddress": "10.0.0.7",
            "client_id": "reporting",
        }),
    );
    keycloak.permits("GET /orders", &token);
    let roleless = json!({ "aud": "account", "resource_access": { "orders": null } });
    keycloak.refuses("GET /orders", &token.with(roleless), "401 wrong_audience");
    // A role of that name of another client, and of the realm, is another role.
    let elsewhere = json!({ "resource_access": {
        "orders": { "roles": ["orders-write"] }, "account": { "roles": ["orders-read"] },
    } });
    keycloak.refuses("GET /orders", &token.with(elsewhere), "403 scope_insufficient");
    let outsider = json!({ "realm_access": { "roles": ["default-roles-shop", "orders-read"] } });
    keycloak.refuses("GET /orders", &token.with(outsider), "403 claim_not_accepted");
    let realm = json!({ "iss": "https://issuer.example/realms/master" });
    keycloak.refuses("GET /orders", &token.with(realm), "401 issuer_unknown");
}

/// As Keycloak 26.7 has issued it to a service account whose client has lightweight access tokens, the `typ` of RFC
/// 9068, and mappers for audience and roles that are told to add to lightweight tokens.
#[test]
fn keycloak_s_lightweight_access_tokens() {
    let mut keycloak = in_shop(Recipe::of("Keycloak", 1));
    let token = Token::new(
        json!({ "alg": "RS256", "typ": "at+jwt", "kid": KID }),
        json!({
            "exp": START + 900, "iat": START, "jti": "trltcc:2a393081-9220-42aa-c6e8-1c1ac8f94d9b",
            "iss": "https://issuer.example/realms/shop", "aud": "https://orders.example",
            "sub": "34c3ce66-c1da-416d-b024-3aca252d71cc", "typ": "Bearer", "azp": "billing",
            "realm_access": { "roles": ["offline_access", "order-reader", "default-roles-shop"] },
            "scope": "profile email",
        }),
    );
    keycloak.permits("GET /orders", &token);
    // A user's has a session, and no subject.
    let user = token.with(json!({ "sub": null, "sid": "CJ-L0hj5vB5Xmjdns2zpi_Z_" }));
    keycloak.permits("GET /orders", &user);
    keycloak.refuses("GET /orders", &user.with(json!({ "azp": "web" })), "403 client_not_accepted");
    keycloak.refuses("GET /orders", &token.with(json!({ "azp": null })), "401 claim_missing");
    // As they come, without mappers.
    keycloak.refuses("GET /orders", &token.with(json!({ "realm_access": null })), "403 claim_not_accepted");
    keycloak.refuses("GET /orders", &token.with(json!({ "aud": null })), "401 claim_missing");
    keycloak.refuses("GET /orders", &token.with(json!({ "aud": "account" })), "401 wrong_audience");
    keycloak.refuses("GET /orders", &token.of_type("JWT"), "401 wrong_type");
}

#[test]
fn forgerock_and_ping_am() {
    let mut am = Recipe::of("ForgeRock and PingAM", 0).discovered(
        "am",
        "am.example/am/oauth2/alpha/.well-known/openid-configuration",
        "https://am.example:443/am/oauth2/alpha",
        ("am", "am.example/am/oauth2/alpha/connect/jwk_uri"),
    );
    let token = Token::new(
        json!({ "typ": "JWT", "kid": KID, "alg": "RS256" }),
        json!({
            "sub": "(age!billing)", "cts": "OAUTH2_STATELESS_GRANT",
            "auditTrackingId": "ac7b2645-e71b-49a9-8539-2846ea449d1a-272809643", "subname": "billing",
            "iss": "https://am.example:443/am/oauth2/alpha", "tokenName": "access_token",
            "token_type": "Bearer", "authGrantId": "WAHrDv5q2Vpuf4BlBQbxIUqVR2E", "client_id": "billing",
            "aud": "billing", "nbf": START, "grant_type": "client_credentials", "scope": ["orders-read"],
            "auth_time": START, "realm": "/alpha", "exp": START + 3600, "iat": START, "expires_in": 3600,
            "jti": "baXcufo3e0YqvJMadXlES5c8AjA",
        }),
    );
    am.permits("GET /orders", &token);
    am.refuses("GET /orders", &token.with(json!({ "scope": ["invoices-read"] })), "403 scope_insufficient");
    let other = json!({ "client_id": "web", "aud": "web", "sub": "(age!web)", "subname": "web" });
    am.refuses("GET /orders", &token.with(other), "403 client_not_accepted");
    let user = json!({ "sub": "(usr!eva)", "subname": "eva", "grant_type": "authorization_code" });
    am.refuses("GET /orders", &token.with(user), "403 claim_not_accepted");
    // An ID token: it has neither client nor scope.
    let id = json!({ "tokenName": "id_token", "client_id": null, "azp": "billing", "scope": null });
    am.refuses("GET /orders", &token.with(id), "403 claim_not_accepted");
    for iss in ["https://am.example/am/oauth2/alpha", "https://am.example:443/am/oauth2/bravo"] {
        am.refuses("GET /orders", &token.with(json!({ "iss": iss })), "401 issuer_unknown");
    }
}

#[test]
fn google_s_service_accounts() {
    let mut google = Recipe::of("Google", 0).discovered(
        "google",
        "accounts.google.com/.well-known/openid-configuration",
        "https://accounts.google.com",
        ("google-apis", "www.googleapis.com/oauth2/v3/certs"),
    );
    let token = Token::new(
        json!({ "alg": "RS256", "kid": KID, "typ": "JWT" }),
        json!({
            "aud": "https://orders.example", "azp": "103547991597142817347",
            "email": "billing@shop-prod.iam.gserviceaccount.com", "email_verified": true,
            "exp": START + 3600, "iat": START, "iss": "https://accounts.google.com",
            "sub": "103547991597142817347",
        }),
    );
    google.permits("GET /orders", &token);
    // Another project's account, made after the first was deleted: the address is the same, the id is not.
    let again = json!({ "sub": "110169484474386276334", "azp": "110169484474386276334" });
    google.refuses("GET /orders", &token.with(again), "403 subject_not_accepted");
    google.refuses("GET /orders", &token.with(json!({ "email": null })), "403 claim_not_accepted");
    let user = json!({
        "sub": "104650147220769694403", "email": "eva@gmail.com", "azp": "32555940559.apps.googleusercontent.com",
        "aud": "32555940559.apps.googleusercontent.com",
    });
    google.refuses("GET /orders", &token.with(user), "401 wrong_audience");
}

#[test]
fn apigee_s_oauth_policy() {
    let apigee = Recipe::of("Apigee", 0);
    let keys = apigee.key_set(json!({}));
    let mut apigee = apigee.serving("apigee", "api.example.com/oauth2/keys", &keys);
    let token = Token::new(
        json!({ "kid": KID, "typ": "at+JWT", "alg": "RS256" }),
        json!({
            "iss": "https://api.example.com/oauth2", "sub": "Zq8mRi0Q0pjhkfu1D7y6KjDQja", "iat": START,
            "exp": START + 1800, "jti": "5cc1e3f4-ca5b-4e9b-91d5-05b40b24200f",
            "client_id": "Zq8mRi0Q0pjhkfu1D7y6KjDQja", "scope": "orders.read",
        }),
    );
    apigee.permits("GET /orders", &token);
    apigee.refuses("GET /orders", &token.with(json!({ "scope": "orders.write" })), "403 scope_insufficient");
    apigee.refuses("GET /orders", &token.with(json!({ "client_id": null })), "401 claim_missing");
    apigee.refuses("GET /orders", &token.of_type("JWT"), "401 wrong_type");
    let proxy = json!({ "iss": "https://api.example.com/oauth2-test" });
    apigee.refuses("GET /orders", &token.with(proxy), "401 issuer_unknown");
}

#[test]
fn apigee_s_adapter_for_envoy() {
    let apigee = Recipe::of("Apigee", 1);
    let keys = apigee.key_set(json!({}));
    let mut apigee = apigee.serving("apigee", "apigee.example.com/remote-token/certs", &keys);
    let token = Token::new(
        json!({ "kid": KID, "typ": "JWT", "alg": "RS256" }),
        json!({
            "iss": "https://apigee.example.com/remote-token/token", "aud": "remote-service-client",
            "exp": START + 900, "iat": START, "nbf": START, "jti": "0c9d3d40-6a1f-4c2e-8a53-2f7f4b1f6d11",
            "client_id": "yBQ5eXZA8rSoipYEi1Rmn0Z8RKtkGI4H", "access_token": "8E7Az3ZgPHKrgzcQA54qAzXT3Z1G",
            "api_product_list": ["orders-read", "catalogue"], "application_name": "billing",
            "developer_email": "eva@example.com", "scope": "",
        }),
    );
    apigee.permits("GET /orders", &token);
    let other = json!({ "api_product_list": ["catalogue"] });
    apigee.refuses("GET /orders", &token.with(other), "403 claim_not_accepted");
    // A string is no list that contains.
    let text = json!({ "api_product_list": "orders-read" });
    apigee.refuses("GET /orders", &token.with(text), "403 claim_not_accepted");
    apigee.refuses("GET /orders", &token.with(json!({ "aud": "istio" })), "401 wrong_audience");
}

#[test]
fn salesforce() {
    let mut salesforce = Recipe::of("Salesforce", 0).discovered(
        "salesforce",
        "example.my.salesforce.com/.well-known/openid-configuration",
        "https://example.my.salesforce.com",
        ("salesforce", "example.my.salesforce.com/id/keys"),
    );
    let token = Token::new(
        json!({
            "tnk": "core/prod/00DSG000009FYVd2AO", "ver": "1.0", "kid": KID, "tty": "sfdc-core-token",
            "typ": "JWT", "alg": "RS256",
        }),
        json!({
            "scp": "orders_read api", "aud": ["https://example.my.salesforce.com"],
            "sub": "uid:005SG000003KxyzYAC", "nbf": START - 15, "mty": "oauth", "sfi": "5d1e0c3b2a",
            "roles": [], "iss": "https://example.my.salesforce.com", "hsc": false, "exp": START + 1800,
            "iat": START, "client_id": "3MVG9billingEXAMPLE",
        }),
    );
    salesforce.permits("GET /orders", &token);
    salesforce.refuses("GET /orders", &token.with(json!({ "scp": "api web" })), "403 scope_insufficient");
    let other = json!({ "client_id": "3MVG9marketingEXAMPLE" });
    salesforce.refuses("GET /orders", &token.with(other), "403 client_not_accepted");
    let org = "https://other.my.salesforce.com";
    salesforce.refuses("GET /orders", &token.with(json!({ "iss": org, "aud": [org] })), "401 issuer_unknown");
}

#[test]
fn github_actions() {
    let mut github = Recipe::of("GitHub Actions", 0).discovered(
        "github",
        "token.actions.githubusercontent.com/.well-known/openid-configuration",
        "https://token.actions.githubusercontent.com",
        ("github", "token.actions.githubusercontent.com/.well-known/jwks"),
    );
    let token = Token::new(
        json!({ "typ": "JWT", "alg": "RS256", "x5t": KID, "kid": KID }),
        json!({
            "jti": "6e67b1cb-2b8d-4be5-91cb-757edb2ec970",
            "sub": "repo:octo-org@65/octo-repo@74:environment:prod", "environment": "prod",
            "aud": "https://orders.example", "ref": "refs/heads/main", "sha": "abc123def456",
            "repository": "octo-org/octo-repo", "repository_owner": "octo-org", "actor_id": "12",
            "repository_visibility": "private", "repository_id": "74", "repository_owner_id": "65",
            "run_id": "99999", "run_number": "10", "run_attempt": "2", "actor": "octocat",
            "workflow": "deploy", "workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
            "workflow_sha": "abc123def456", "head_ref": "", "base_ref": "", "event_name": "push",
            "ref_type": "branch",
            "job_workflow_ref": "octo-org/octo-automation/.github/workflows/scan.yml@refs/heads/main",
            "runner_environment": "github-hosted", "iss": "https://token.actions.githubusercontent.com",
            "nbf": START - 300, "exp": START + 300, "iat": START,
        }),
    );
    github.permits("POST /deployments", &token);
    github.permits("POST /scans", &token);
    // A fork with the old name, another branch, no environment; an id that is a number.
    for changed in [
        json!({ "repository_id": "75", "repository_owner_id": "66" }),
        json!({ "ref": "refs/heads/feature" }),
        json!({ "ref": "refs/pull/5/merge", "event_name": "pull_request" }),
        json!({ "environment": null, "sub": "repo:octo-org@65/octo-repo@74:ref:refs/heads/main" }),
        json!({ "repository_id": 74 }),
    ] {
        github.refuses("POST /deployments", &token.with(changed), "403 claim_not_accepted");
    }
    for changed in [
        json!({ "job_workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main" }),
        json!({ "repository_owner_id": "66" }),
    ] {
        github.refuses("POST /scans", &token.with(changed), "403 claim_not_accepted");
    }
    // What a workflow gets that asks for nothing in particular.
    let default = json!({ "aud": "https://github.com/octo-org" });
    github.refuses("POST /deployments", &token.with(default), "401 wrong_audience");
}

/// A bound token, as a pod's projected volume has it.
fn service_account(issuer: &str) -> Token {
    Token::new(
        json!({ "alg": "RS256", "kid": KID }),
        json!({
            "aud": ["https://orders.example"], "exp": START + 3607, "iat": START, "iss": issuer,
            "jti": "ea28ed49-2e11-4280-9ec5-bc3d1d84661a",
            "kubernetes.io": {
                "namespace": "billing",
                "node": { "name": "node-7", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced" },
                "pod": { "name": "invoices-69cbfb9798-jv9gn", "uid": "778a530c-b3f4-47c0-9cd5-ab018fb64f33" },
                "serviceaccount": { "name": "invoices", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af" },
            },
            "nbf": START, "sub": "system:serviceaccount:billing:invoices",
        }),
    )
}

#[test]
fn kubernetes_service_accounts() {
    let cluster = Recipe::of("Kubernetes", 0);
    let keys = cluster.key_set(json!({}));
    let mut cluster = cluster.serving("kubernetes", "kubernetes.default.svc/openid/v1/jwks", &keys);
    let token = service_account("https://kubernetes.default.svc.cluster.local");
    cluster.permits("GET /orders", &token);
    cluster.permits("POST /orders", &token);
    let neighbour = json!({
        "sub": "system:serviceaccount:billing:reports",
        "kubernetes.io": { "serviceaccount": { "name": "reports" } },
    });
    cluster.permits("GET /orders", &token.with(neighbour.clone()));
    cluster.refuses("POST /orders", &token.with(neighbour), "403 subject_not_accepted");
    let stranger = json!({
        "sub": "system:serviceaccount:web:invoices", "kubernetes.io": { "namespace": "web" },
    });
    cluster.refuses("GET /orders", &token.with(stranger.clone()), "403 claim_not_accepted");
    cluster.refuses("POST /orders", &token.with(stranger), "403 subject_not_accepted");
    // The token that every pod has is for the API server.
    let default = json!({ "aud": ["https://kubernetes.default.svc.cluster.local"] });
    cluster.refuses("GET /orders", &token.with(default), "401 wrong_audience");
    let old = Token::new(
        json!({ "alg": "RS256", "kid": KID }),
        json!({
            "iss": "kubernetes/serviceaccount", "kubernetes.io/serviceaccount/namespace": "billing",
            "kubernetes.io/serviceaccount/secret.name": "invoices-token-bwsb6",
            "kubernetes.io/serviceaccount/service-account.name": "invoices",
            "kubernetes.io/serviceaccount/service-account.uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af",
            "sub": "system:serviceaccount:billing:invoices",
        }),
    );
    cluster.refuses("GET /orders", &old, "401 issuer_unknown");
}

#[test]
fn kubernetes_with_published_keys() {
    let issuer = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE";
    let mut eks = Recipe::of("Kubernetes", 1).discovered(
        "eks",
        &format!("{issuer}/.well-known/openid-configuration"),
        &format!("https://{issuer}"),
        ("eks", &format!("{issuer}/keys")),
    );
    let token = service_account(&format!("https://{issuer}"));
    eks.permits("POST /orders", &token);
    eks.refuses("POST /orders", &token.with(json!({ "aud": ["sts.amazonaws.com"] })), "401 wrong_audience");
    let other =
        json!({ "iss": "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE0000000000000000000000002" });
    eks.refuses("POST /orders", &token.with(other), "401 issuer_unknown");
    let neighbour = json!({ "sub": "system:serviceaccount:billing:reports" });
    eks.refuses("POST /orders", &token.with(neighbour), "403 subject_not_accepted");
}

/// What SPIRE writes, and no more.
#[test]
fn spiffe() {
    let spiffe = Recipe::of("SPIFFE", 0).signing_es256();
    let mut bundle = spiffe.key_set(json!({ "use": "jwt-svid", "alg": null }));
    let certificate =
        json!({ "kty": "EC", "use": "x509-svid", "crv": "P-256", "x5c": ["MIIB"], "x": "AA", "y": "AA" });
    bundle["keys"].as_array_mut().unwrap().insert(0, certificate);
    merge(&mut bundle, json!({ "spiffe_sequence": 7, "spiffe_refresh_hint": 300 }));
    let mut spiffe = spiffe.serving("spire", "spire.example.org/", &bundle);
    let token = Token::new(
        json!({ "alg": "ES256", "kid": KID, "typ": "JWT" }),
        json!({
            "aud": ["spiffe://example.org/ns/shop/sa/orders"], "exp": START + 300, "iat": START,
            "sub": "spiffe://example.org/ns/billing/sa/invoices",
        }),
    );
    spiffe.permits("GET /orders", &token);
    spiffe.permits("POST /orders", &token);
    spiffe.permits("POST /orders", &token.with(json!({ "iss": "https://spire.example.org" })));
    let sub = |id: &str| token.with(json!({ "sub": id }));
    let neighbour = sub("spiffe://example.org/ns/billing/sa/reports");
    spiffe.permits("GET /orders", &neighbour);
    spiffe.refuses("POST /orders", &neighbour, "403 client_not_accepted");
    let stranger = sub("spiffe://example.org/ns/billing-test/sa/invoices");
    spiffe.refuses("GET /orders", &stranger, "403 claim_not_accepted");
    let foreign = sub("spiffe://partner.example/ns/billing/sa/invoices");
    spiffe.refuses("GET /orders", &foreign, "401 issuer_unknown");
    let other = json!({ "aud": ["spiffe://example.org/ns/shop/sa/payments"] });
    spiffe.refuses("GET /orders", &token.with(other), "401 wrong_audience");
}
