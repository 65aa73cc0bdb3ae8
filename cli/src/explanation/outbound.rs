//! What the outbound half makes of a request.

use core::time::Duration;
use std::rc::Rc;

use attache::base::{
    CallBudget, Edit, Headers, HttpCall, HttpReply, Jitter, Random, RequestHead, Secret, StreamId, Timestamp,
    encode_pairs,
};
use attache::config::{Config, Value};
use attache::jose::{Algorithm, Crypto, Engine, Key, RustCrypto, SignatureError, SigningError, SigningKey};
use attache::oauth::Grant;
use attache::outbound::{
    Client, ClientId, Destination, EgressDenial, EndpointLocation, Injection, Injector, Match, OutboundCall,
    OutboundEvent, Outgoing, Settings, Subject, Target, TokenChange,
};
use attache::policy::{MetadataClient, RequestMetadata, RequestPath};
use attache::sharing::{Context, NoSharedState};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::json;

use super::destination_report::{Wanted, write_nearest};
use super::difference::difference;
use super::page::{Explanation, Mark, Page, quoted};
use super::token_call;

/// A request that goes out, to explain.
#[derive(Clone, Debug, Default)]
pub struct OutboundQuestion {
    /// All headers, pseudo-headers included.
    pub headers: Vec<(String, String)>,
    /// The cluster that Envoy has chosen.
    pub cluster: String,
    /// Whether the metadata of the cluster asserts that connections to it use TLS.
    pub asserts_tls: bool,
    /// The name of Envoy's route.
    pub route_name: Option<String>,
    /// The client that the metadata of Envoy's route names.
    pub route_client: Option<String>,
    /// The metadata document of the server of each client by name.
    pub metadata: Vec<(String, Vec<u8>)>,
    /// What the token endpoint says as `expires_in`.
    pub expires_in: Option<u64>,
    /// What the token itself says as `exp`, if it is a JWT.
    pub exp: Option<u64>,
    /// When the request comes.
    pub now: Timestamp,
}

impl OutboundQuestion {
    /// Asks the outbound half. `document` is what the configuration was compiled from.
    pub fn ask(&self, config: &Config, document: &Value) -> Explanation {
        let Some(settings) = &config.outbound else { return Page::default().finish(true) };
        let (mut jitter, mut observations) = (Jitter::new([0; 16]), Vec::new());
        let mut context = Context {
            now: self.now,
            stopwatch: &(),
            crypto: &NothingIsSigned,
            random: &NothingIsSigned,
            shared: &NoSharedState,
            jitter: &mut jitter,
            observations: &mut observations,
        };
        let injector = Injector::new(Rc::clone(settings), None, [0; 16], &mut context);
        let head = self.head();
        let client = RequestMetadata::read(&head).client();
        let run = Run {
            question: self,
            settings,
            document,
            page: Page::default(),
            injector,
            calls: Vec::new(),
            head,
            client,
        };
        run.walk(&mut context)
    }

    fn head(&self) -> RequestHead {
        let bytes = |text: &String| text.as_bytes().to_vec();
        RequestHead {
            headers: self.headers.iter().map(|(name, value)| (name, value)).collect(),
            route_metadata: self
                .route_client
                .as_ref()
                .map(|client| encode_pairs([("client", client)].into_iter())),
            cluster: Some(bytes(&self.cluster)),
            cluster_tls: self.asserts_tls.then(|| b"asserted".to_vec()),
            route_name: self.route_name.as_ref().map(bytes),
            ..RequestHead::default()
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value)
    }

    /// The token that stands for the one that would be issued: a JWT where it is to say when it expires.
    fn token(&self) -> String {
        match self.exp {
            Some(exp) => {
                let part = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
                format!("{}.{}.{}", part("{}"), part(&json!({ "exp": exp }).to_string()), part("signature"))
            }
            None => "token".to_owned(),
        }
    }
}

/// Explanations sign nothing: an assertion is not shown, so a stand-in does, and no private key is used.
struct NothingIsSigned;

impl Random for NothingIsSigned {
    fn fill(&self, _bytes: &mut [u8]) {}
}

impl Crypto for NothingIsSigned {
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &Key,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        RustCrypto.verify(algorithm, key, message, signature)
    }

    fn engine(&self, algorithm: Algorithm) -> Engine {
        RustCrypto.engine(algorithm)
    }

    fn sign(
        &self,
        _algorithm: Algorithm,
        _key: &SigningKey,
        _message: &[u8],
        _random: &dyn Random,
    ) -> Result<Vec<u8>, SigningError> {
        Ok(vec![0])
    }
}

/// One walk through the outbound half.
struct Run<'a> {
    question: &'a OutboundQuestion,
    settings: &'a Rc<Settings>,
    document: &'a Value,
    page: Page,
    injector: Injector,
    /// The calls that it has made and that are not answered.
    calls: Vec<(OutboundCall, HttpCall)>,
    head: RequestHead,
    client: MetadataClient,
}

impl Run<'_> {
    fn walk(mut self, context: &mut Context<'_>) -> Explanation {
        self.found();
        for _ in 0..MAX_ROUNDS {
            match self.inject(context.now) {
                Injection::OwnCall(edits) => {
                    self.page.step(
                        "own call",
                        "the cluster carries the filter's own calls, which it leaves alone",
                    );
                    return self.forwarded(&edits, None);
                }
                Injection::Passed(edits) => {
                    self.page.failed(
                        "passed",
                        "no destination matches, and `unmatched` is `pass`: it gets no token",
                    );
                    self.nearest();
                    return self.forwarded(&edits, None);
                }
                Injection::Kept(client, edits) => {
                    let header = self.client(client).map(|client| client.header.to_string());
                    let header = header.unwrap_or_default();
                    self.guard();
                    self.page.step(
                        "kept",
                        &format!("it has a credential in `{header}`, and `caller_credential` is `keep`"),
                    );
                    return self.forwarded(&edits, None);
                }
                Injection::Denied(client, denial) => return self.denied(client, denial),
                Injection::Injected(client, edits, _) => return self.forwarded(&edits, Some(client)),
                Injection::Wait(client, _) => {
                    if !self.obtain(client, context) {
                        return self.page.finish(false);
                    }
                }
            }
        }
        self.page.failed("waits", "the filter does not ask for a token");
        self.page.finish(false)
    }

    fn inject(&mut self, now: Timestamp) -> Injection {
        // The caller's token, which the inbound half would have verified.
        let subject =
            || Some(Subject { digest: [0; 32], token: Secret::new("subject"), expires: now.after(LONG) });
        let outgoing = Outgoing {
            stream: StreamId(0),
            head: &self.head,
            client: &self.client,
            edits: &[],
            patience: now.after(LONG),
            subject: &subject,
        };
        self.injector.inject(&outgoing, now)
    }

    /// Says which destination the request goes to, if it goes to one.
    fn found(&mut self) {
        let Some(destination) = self.destination() else { return };
        let place = self.settings.destinations.all().iter().position(|one| core::ptr::eq(one, destination));
        let client =
            self.client(destination.client).map(|client| client.name.to_string()).unwrap_or_default();
        let by = match &self.client {
            MetadataClient::Named(_) if self.settings.reads_route_metadata => {
                ", which the route's metadata names"
            }
            MetadataClient::Named(_) | MetadataClient::None | MetadataClient::Malformed => "",
        };
        let place = place.map(|place| place.to_string()).unwrap_or_default();
        self.page.step("destination", &format!("outbound.destinations[{place}], of client {client}{by}"));
    }

    fn destination(&self) -> Option<&Destination> {
        let question = self.question;
        let to = Target {
            authority: question.header(":authority").as_bytes(),
            path: RequestPath::parse(question.header(":path").as_bytes()).ok(),
            method: question.header(":method").as_bytes(),
        };
        let table = &self.settings.destinations;
        let found = match &self.client {
            MetadataClient::Named(name) if self.settings.reads_route_metadata => {
                table.of_client(*self.settings.names.get(name)?, &question.cluster, &to)
            }
            MetadataClient::Named(_) | MetadataClient::None | MetadataClient::Malformed => {
                table.find(&question.cluster, question.route_name.as_deref().map(str::as_bytes), &to)
            }
        };
        match found {
            Match::Destination(destination) => Some(destination),
            Match::AmbiguousPath | Match::BadAuthority | Match::BadMethod | Match::None => None,
        }
    }

    fn client(&self, id: ClientId) -> Option<&Client> {
        self.settings.client(id).map(|client| &**client)
    }

    /// Why the cluster may have tokens.
    fn guard(&mut self) {
        let cluster = quoted(&self.question.cluster);
        let why = if self.question.asserts_tls {
            format!("the metadata of cluster {cluster} asserts TLS")
        } else {
            format!("`plaintext_clusters` allows {cluster} to have tokens without TLS")
        };
        self.page.step("TLS", &why);
    }

    fn nearest(&mut self) {
        let wanted = Wanted {
            cluster: &self.question.cluster,
            authority: self.question.header(":authority"),
            path: self.question.header(":path"),
            method: self.question.header(":method"),
            route_name: self.question.route_name.as_deref(),
            named: self.question.route_client.as_deref().filter(|_| self.settings.reads_route_metadata),
        };
        write_nearest(&mut self.page, wanted, self.settings, self.document);
    }

    fn denied(mut self, client: Option<ClientId>, denial: EgressDenial) -> Explanation {
        let advice = if denial == EgressDenial::Plaintext {
            let cluster = quoted(&self.question.cluster);
            format!(
                ": write `tls: asserted` into the metadata of cluster {cluster}, if its connections use TLS"
            )
        } else if denial == EgressDenial::CallerCredential {
            let header =
                client.and_then(|client| self.client(client)).map(|client| client.header.to_string());
            format!(", in `{}`: see `caller_credential`", header.unwrap_or_default())
        } else if denial == EgressDenial::Unmatched {
            ", and `unmatched` is `deny`".to_owned()
        } else {
            String::new()
        };
        let why = format!("{denial}{advice}");
        self.page.failed(denial.label(), &why);
        if matches!(denial, EgressDenial::Unmatched | EgressDenial::NotAllowed) {
            self.nearest();
        }
        self.page.answered(&denial.response());
        self.page.finish(false)
    }

    fn forwarded(mut self, edits: &[Edit], client: Option<ClientId>) -> Explanation {
        let prefix = client.and_then(|client| self.client(client)).map(|client| client.prefix.to_string());
        // Whatever is set here holds the token.
        self.page.forwarded(edits, |edit| match edit {
            Edit::Set(..) => Some(format!("{}<the token>", prefix.as_deref().unwrap_or_default())),
            Edit::Remove(_) => None,
        });
        self.page.finish(true)
    }

    /// Has the filter ask for the client's token, and answers. Whether there is one now.
    fn obtain(&mut self, id: ClientId, context: &mut Context<'_>) -> bool {
        self.guard();
        let Some(client) = self.settings.client(id).map(Rc::clone) else { return false };
        let discovery =
            self.settings.endpoints.get(client.endpoint.0).and_then(|endpoint| match &endpoint.location {
                EndpointLocation::Discovered(discovery) => Some(Rc::clone(&discovery.issuer)),
                EndpointLocation::At(_) => None,
            });
        let metadata = self.question.metadata.iter().find(|(name, _)| **name == *client.name);
        if let (Some(issuer), Some((_, document))) = (&discovery, metadata) {
            self.metadata(issuer, document);
        }
        let call = (0..MAX_ROUNDS).find_map(|_| {
            self.tick(context);
            let is_ours = |purpose: &OutboundCall| match purpose {
                OutboundCall::Token(of) | OutboundCall::Exchange(of, _) => *of == id,
                OutboundCall::Metadata(_) => false,
            };
            let place = self.calls.iter().position(|(purpose, _)| is_ours(purpose))?;
            Some(self.calls.swap_remove(place))
        });
        let Some((purpose, call)) = call else {
            let why = "the filter knows no token endpoint to ask: the metadata that was given is not taken";
            self.page.failed("waits", why);
            return false;
        };
        let unknown = discovery.as_deref().filter(|_| metadata.is_none());
        token_call::write(&mut self.page, &call, &client, unknown);
        let token = self.question.token();
        let answer = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.question.expires_in,
            // RFC 8693 §2.2.1; for an exchange.
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        });
        let reply = reply(answer.to_string().into_bytes());
        let fault = match self.injector.handle_reply(purpose, reply, context) {
            Some(OutboundEvent::Token { event, .. }) => match event.change {
                TokenChange::Failed(fault) => Some(fault.to_string()),
                TokenChange::Obtained { .. } | TokenChange::Rejected(_) | TokenChange::Expired => None,
            },
            Some(OutboundEvent::Endpoint { .. }) | None => None,
        };
        if let Some(fault) = fault {
            self.page.failed("no token", &fault);
            return false;
        }
        self.lifetime(&client, &token, context.now);
        true
    }

    /// Time passes: collects the calls, and answers those for metadata.
    fn tick(&mut self, context: &mut Context<'_>) {
        let mut budget = CallBudget::of(MAX_ROUNDS);
        let (_, made) = self.injector.handle_tick(&mut budget, context);
        for (purpose, call) in made {
            match purpose {
                OutboundCall::Metadata(endpoint) => {
                    let Some(body) = self.metadata_of(endpoint.0) else { continue };
                    self.injector.handle_reply(purpose, reply(body), context);
                }
                OutboundCall::Token(_) | OutboundCall::Exchange(..) => self.calls.push((purpose, call)),
            }
        }
    }

    /// The metadata of an endpoint: what was given for one of its clients, or a stand-in.
    fn metadata_of(&self, endpoint: usize) -> Option<Vec<u8>> {
        let mut clients = self.settings.clients.iter().filter(|client| client.endpoint.0 == endpoint);
        let given = clients.find_map(|client| {
            self.question
                .metadata
                .iter()
                .find(|(name, _)| **name == *client.name)
                .map(|(_, document)| document)
        });
        if let Some(given) = given {
            return Some(given.clone());
        }
        let EndpointLocation::Discovered(discovery) = &self.settings.endpoints.get(endpoint)?.location else {
            return None;
        };
        let metadata = json!({ "issuer": &*discovery.issuer, "token_endpoint": "https://token.example/" });
        Some(metadata.to_string().into_bytes())
    }

    fn metadata(&mut self, issuer: &str, document: &[u8]) {
        let document: serde_json::Value = serde_json::from_slice(document).unwrap_or_default();
        let text = |name: &str| document.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let given = text("issuer");
        let mut lines = vec![quoted(issuer)];
        if given != issuer {
            lines.push(format!("what differs: {}", difference(given, issuer)));
        }
        self.page.heading("the metadata that was given");
        self.page.compared(Mark::of(given == issuer), "issuer", &quoted(given), &lines);
    }

    /// How long the token counts.
    fn lifetime(&mut self, client: &Client, token: &str, now: Timestamp) {
        let expires_in = self.question.expires_in.map(Duration::from_secs);
        let times = client.lifetime.times(token.as_bytes(), expires_in, now);
        let given = match (self.question.expires_in, self.question.exp) {
            (Some(expires_in), Some(exp)) => format!("expires_in {expires_in} and exp {exp}"),
            (Some(expires_in), None) => format!("expires_in {expires_in}"),
            (None, Some(exp)) => format!("exp {exp}"),
            (None, None) => "no expires_in and no exp, so `default_lifetime` counts".to_owned(),
        };
        self.page.heading(&format!("the token, obtained now, at {}, with {given}", now.secs()));
        let at = |time: Timestamp| format!("{}, in {} s", time.secs(), time.since(now).as_secs());
        let latest = times.renewal.after(times.spread);
        if matches!(client.request.grant, Grant::TokenExchange { .. }) {
            self.page.detail("renewed", "never; the next request of the same caller has it exchanged again");
        } else {
            self.page.detail("renewed", &format!("between {} and {}", at(times.renewal), at(latest)));
        }
        self.page.detail("put on requests until", &at(times.until));
        self.page.detail("expires", &at(times.expires));
        if matches!(client.request.grant, Grant::TokenExchange { .. }) {
            self.page.detail("", "each caller gets its own, and none outlives the caller's token");
        }
    }
}

fn reply(body: Vec<u8>) -> HttpReply {
    HttpReply::Response { status: 200, headers: Headers::default(), body: Ok(body) }
}

/// More than an endpoint's metadata and a token take.
const MAX_ROUNDS: usize = 64;
/// No wait of an explanation ends before its answer.
const LONG: Duration = Duration::from_secs(3600);
