//! What the outbound half promises: tokens that are there when they are needed, and go nowhere else.
//!
//! The client `billing` asks at the cluster `idp`, and its tokens go to the cluster `billing` at `billing.internal`; so does each
//! client that [`client`] makes.

// When tokens are asked for, how long they count, and who waits for them.
mod freshness;
// One request for a whole process, and who shares with whom.
mod single_flight;
// Whatever a token endpoint does: backoff, breaker, every malformed answer.
mod failure;
// What an upstream's 401 does.
mod purge;
// The lines of JSON about all of that.
mod records;
// Which request gets whose token, and which gets none.
mod egress;
// Tokens in exchange for the callers' (RFC 8693).
mod exchange;
// What is sent to a token endpoint, byte by byte.
mod requests;
// All of it in any order, against what must never happen.
mod properties;

use std::cell::RefCell;
use std::rc::Rc;

use attache::base::{HttpCall, HttpReply};
use serde_json::{Value, json};

use crate::proxy::{Answer, CLIENT_SECRET, OTHER_SECRET, Proxy, Request, good, merge};
use crate::threads::{Threads, header_of};

/// One client, `billing`, patched.
pub fn document(patch: Value) -> Value {
    with_clients(&[client("billing", json!({}))], patch)
}

/// These clients with a destination each; `patch` is a JSON Merge Patch of the block `outbound`.
pub fn with_clients(clients: &[Value], patch: Value) -> Value {
    let to = |client: &Value| {
        let replaces = client.get("token_exchange").is_some();
        let patch = if replaces { json!({ "caller_credential": "replace" }) } else { json!({}) };
        destination(client["name"].as_str().unwrap(), patch)
    };
    let destinations: Vec<_> = clients.iter().map(to).collect();
    let mut document = json!({ "outbound": {
        "position": "downstream",
        "clients": clients,
        "destinations": destinations,
        "unmatched": "pass",
    }});
    merge(&mut document["outbound"], patch);
    document
}

/// A client that asks at `idp`, patched.
pub fn client(name: &str, patch: Value) -> Value {
    let mut client = json!({
        "name": name,
        "token_endpoint": { "uri": "https://idp.example/token", "cluster": "idp" },
        "client_id": name,
        "authentication": { "client_secret_basic": { "secret": { "env": "CLIENT_SECRET" } } },
    });
    merge(&mut client, patch);
    client
}

/// The same client at a token endpoint of its own.
pub fn client_at(name: &str, cluster: &str) -> Value {
    let uri = format!("https://{cluster}.example/token");
    client(name, json!({ "token_endpoint": { "uri": uri, "cluster": cluster } }))
}

/// Where the tokens of a client go, patched.
pub fn destination(client: &str, patch: Value) -> Value {
    let authority = format!("{client}.internal");
    let mut destination =
        json!({ "client": client, "match": { "authorities": [authority], "clusters": [client] } });
    merge(&mut destination, patch);
    destination
}

/// A request to where the tokens of this client go.
pub fn to(client: &str) -> Request {
    Request::get("/things").authority(&format!("{client}.internal")).to(client)
}

/// The token that a forwarded request carries.
#[track_caller]
pub fn carried(answer: Answer) -> String {
    let values = answer.forwarded().upstream("authorization");
    assert_eq!(values.len(), 1, "{values:?}");
    values[0].strip_prefix("Bearer ").unwrap_or_default().to_owned()
}

/// A token endpoint that issues numbered tokens.
#[derive(Clone)]
pub struct Tokens(Rc<RefCell<Issuing>>);

pub struct Issuing {
    issued: u32,
    lifetime: Value,
    scope: Option<String>,
    fault: Option<HttpReply>,
    is_silent: bool,
    asked: Vec<HttpCall>,
}

impl Tokens {
    pub fn new() -> Self {
        Self(Rc::new(RefCell::new(Issuing {
            issued: 0,
            lifetime: json!(3600),
            scope: None,
            fault: None,
            is_silent: false,
            asked: Vec::new(),
        })))
    }

    /// From now on tokens live so long; `null` for no word about it.
    pub fn live(&self, lifetime: impl Into<Value>) -> &Self {
        self.0.borrow_mut().lifetime = lifetime.into();
        self
    }

    /// From now on tokens have these scopes.
    pub fn grant(&self, scope: &str) {
        self.0.borrow_mut().scope = Some(scope.to_owned());
    }

    /// From now on this is answered.
    pub fn fail(&self, reply: HttpReply) -> &Self {
        self.0.borrow_mut().fault = Some(reply);
        self.0.borrow_mut().is_silent = false;
        self
    }

    /// From now on nothing is answered.
    pub fn fall_silent(&self) {
        self.0.borrow_mut().is_silent = true;
    }

    /// From now on tokens are issued.
    pub fn recover(&self) {
        self.0.borrow_mut().fault = None;
        self.0.borrow_mut().is_silent = false;
    }

    /// How many tokens have been issued.
    pub fn issued(&self) -> u32 {
        self.0.borrow().issued
    }

    /// All requests.
    pub fn asked(&self) -> Vec<HttpCall> {
        self.0.borrow().asked.clone()
    }

    /// The one that is answered next.
    pub fn issue(&self) -> HttpReply {
        let mut issuing = self.0.borrow_mut();
        issuing.issued += 1;
        let mut answer = json!({
            "access_token": numbered(issuing.issued),
            "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        });
        if !issuing.lifetime.is_null() {
            answer["expires_in"] = issuing.lifetime.clone();
        }
        if let Some(scope) = &issuing.scope {
            answer["scope"] = json!(scope);
        }
        good(&answer.to_string())
    }

    pub fn answer(&self, call: &HttpCall) -> Option<HttpReply> {
        self.0.borrow_mut().asked.push(call.clone());
        if self.0.borrow().is_silent {
            return None;
        }
        let fault = self.0.borrow().fault.clone();
        Some(fault.unwrap_or_else(|| self.issue()))
    }
}

/// What [`Tokens`] issues at the `number`-th time.
pub fn numbered(number: u32) -> String {
    format!("token-{number}-{SIGN}")
}

/// Whatever holds it is a token.
const SIGN: &str = "0123456789abcdef";

/// A proxy whose cluster `idp` issues tokens; nothing has ticked.
#[track_caller]
pub fn proxy(document: &Value) -> (Proxy, Tokens) {
    let mut proxy = Proxy::new(document);
    keep_secrets(&mut proxy);
    let tokens = Tokens::new();
    serve(&mut proxy, "idp", &tokens);
    (proxy, tokens)
}

/// As [`proxy`], and the token is there.
#[track_caller]
pub fn ready(document: &Value) -> (Proxy, Tokens) {
    let (mut proxy, tokens) = proxy(document);
    proxy.tick();
    (proxy, tokens)
}

pub fn serve(proxy: &mut Proxy, cluster: &str, tokens: &Tokens) {
    let tokens = tokens.clone();
    proxy.script(cluster, move |call| tokens.answer(call));
}

pub fn keep_secrets(proxy: &mut Proxy) {
    for secret in [SIGN, CLIENT_SECRET, OTHER_SECRET] {
        proxy.keep_secret(secret);
    }
}

/// So many threads of a process whose cluster `idp` issues tokens; nothing has ticked.
#[track_caller]
pub fn threads(document: &Value, count: usize) -> (Threads, Tokens) {
    let mut threads = Threads::new(document, count);
    (0..count).for_each(|number| keep_secrets(&mut threads[number]));
    let tokens = Tokens::new();
    let answering = tokens.clone();
    threads.script("idp", move |call| answering.answer(call));
    (threads, tokens)
}

/// A counter of the client `billing`.
pub fn counted(metric: &str, label: &str, value: &str) -> String {
    counted_of("billing", metric, label, value)
}

pub fn counted_of(client: &str, metric: &str, label: &str, value: &str) -> String {
    format!("client=.={client};.;{label}=.={value};.;{metric}")
}

pub fn gauge(metric: &str) -> String {
    format!("client=.=billing;.;{metric}")
}

/// The fields of a form, in order.
pub fn form(call: &HttpCall) -> Vec<(String, String)> {
    url::form_urlencoded::parse(call.body.expose()).into_owned().collect()
}

/// All values of a field.
pub fn field(call: &HttpCall, name: &str) -> Vec<String> {
    form(call).into_iter().filter(|(field, _)| field == name).map(|(_, value)| value).collect()
}

pub fn header(call: &HttpCall, name: &str) -> String {
    header_of(call, name).unwrap_or_default().to_owned()
}
