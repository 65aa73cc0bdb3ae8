//! What the inbound half makes of a request.

use std::rc::Rc;

use attache::base::{
    Command, Headers, HttpReply, Jitter, Level, Observation, Outcome, Random, RequestBody, RequestHead,
    Timestamp, encode_pairs,
};
use attache::claims::ClaimError;
use attache::config::Config;
use attache::filter::{CallPurpose, Filter};
use attache::inbound::{Denial, Evaluation, Observer, Settings, Step, WaitReason};
use attache::issuer::{DocumentKind, KeySource};
use attache::jose::{Key, RustCrypto, SignatureError};
use attache::policy::{IssuerId, Leaf, Mode, Requirement, Rule};
use attache::sharing::{Context, NoSharedState};
use serde_json::{Value, json};

use super::difference::difference;
use super::key_report::{KeyReport, Progress, Trials};
use super::page::{Explanation, Mark, Page, quoted, quoted_list};
use super::requirement::{in_words, rule_in_words};
use super::token_report::TokenReport;

/// A request to explain.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// All headers, pseudo-headers included.
    pub headers: Vec<(String, String)>,
    /// The body, if it is known.
    pub body: Option<Vec<u8>>,
    /// What stands on Envoy's own route under `attache`: keys and texts.
    pub route_metadata: Vec<(String, String)>,
    /// The JWKS document of each issuer by name; an issuer that is missing has no keys yet.
    pub key_sets: Vec<(String, Vec<u8>)>,
    /// The metadata document of each issuer by name; of one that is missing, it is taken for granted that its metadata
    /// names the keys in `key_sets`.
    pub metadata: Vec<(String, Vec<u8>)>,
    /// When the request comes.
    pub now: Timestamp,
}

impl Question {
    /// Asks the inbound half.
    pub fn ask(&self, config: &Config) -> Explanation {
        // The outbound half has its own explanation, and would have the request wait for a token.
        let Some(mut settings) = config.inbound.as_deref().cloned() else {
            return Page::default().finish(true);
        };
        // Nor does it matter here what a fetch would carry.
        let sources = settings.issuers.iter_mut().flat_map(|issuer| &mut issuer.keys);
        sources.filter_map(KeySource::client_mut).for_each(|client| *client = None);
        let settings = Rc::new(settings);
        let config = Config { inbound: Some(Rc::clone(&settings)), outbound: None, ..config.clone() };
        let (mut jitter, mut observations) = (Jitter::new([0; 16]), Vec::new());
        let mut context = Context {
            now: self.now,
            stopwatch: &(),
            crypto: &RustCrypto,
            random: &NothingIsSigned,
            shared: &NoSharedState,
            jitter: &mut jitter,
            observations: &mut observations,
        };
        let mut filter = Filter::new(&config, [0; 16], &mut context);
        let mut explainer = Explainer::new(self, &settings);
        explainer.metadata();
        self.fetch(&settings, &mut filter, &mut context, &mut explainer.warnings);
        let head = RequestHead {
            headers: self.headers.iter().map(|(name, value)| (name, value)).collect(),
            route_metadata: (!self.route_metadata.is_empty()).then(|| {
                encode_pairs(self.route_metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            }),
            has_body: self.body.is_some() || settings.reads_bodies() && self.is_post(),
            body: self.body.clone().map(|body| {
                if body.len() > settings.mcp.max_body {
                    RequestBody::TooLarge
                } else {
                    RequestBody::Whole(body)
                }
            }),
            ..RequestHead::default()
        };
        let outcome = filter.explain_request(head, &mut explainer, &mut context);
        explainer.finish(outcome.as_ref())
    }

    fn is_post(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == ":method" && value == "POST")
    }

    /// Has the filter fetch what the question holds: an issuer's metadata, where there is some, and then its keys.
    fn fetch(
        &self,
        settings: &Settings,
        filter: &mut Filter,
        context: &mut Context<'_>,
        warnings: &mut Vec<String>,
    ) {
        for _ in 0..MAX_ROUNDS {
            let mut commands = Vec::new();
            filter.handle_tick(context, &mut commands);
            if commands.is_empty() {
                return;
            }
            for command in commands {
                let Command::Call { id, .. } = command else { continue };
                let Some(reply) = filter.purpose(id).and_then(|purpose| self.answer(settings, purpose))
                else {
                    continue;
                };
                context.observations.clear();
                filter.handle_reply(id, reply, context, &mut Vec::new());
                for observation in context.observations.drain(..) {
                    if let Observation::Log { level: Level::Error | Level::Warn, line } = observation {
                        warnings.push(line);
                    }
                }
            }
        }
    }

    /// What an issuer answers, as far as the question says.
    fn answer(&self, settings: &Settings, purpose: CallPurpose) -> Option<HttpReply> {
        let CallPurpose::Issuer { issuer, document } = purpose else { return None };
        let issuer = settings.issuers.get(issuer)?;
        let given = |documents: &[(String, Vec<u8>)]| of(documents, &issuer.name).map(<[u8]>::to_vec);
        let body = match document.kind {
            DocumentKind::Keys => given(&self.key_sets)?,
            DocumentKind::Metadata => given(&self.metadata).or_else(|| {
                given(&self.key_sets)?;
                let metadata =
                    json!({ "issuer": issuer.metadata_issuer(), "jwks_uri": "https://keys.example" });
                Some(metadata.to_string().into_bytes())
            })?,
        };
        Some(HttpReply::Response { status: 200, headers: Headers::default(), body: Ok(body) })
    }
}

fn of<'a>(documents: &'a [(String, Vec<u8>)], issuer: &str) -> Option<&'a [u8]> {
    documents.iter().find(|(name, _)| name == issuer).map(|(_, document)| &**document)
}

/// The inbound half asks for no token, so it signs nothing.
struct NothingIsSigned;

impl Random for NothingIsSigned {
    fn fill(&self, _bytes: &mut [u8]) {}
}

struct Explainer<'a> {
    question: &'a Question,
    settings: &'a Rc<Settings>,
    page: Page,
    /// What the filter would write to the log about the documents that were given.
    warnings: Vec<String>,
    /// The issuers whose metadata names another one.
    of_others: Vec<String>,
    requirements: Vec<Requirement>,
    token: TokenReport,
    issuer: Option<String>,
    trials: Trials,
    is_refused: bool,
}

impl<'a> Explainer<'a> {
    fn new(question: &'a Question, settings: &'a Rc<Settings>) -> Self {
        Self {
            question,
            settings,
            page: Page::default(),
            warnings: Vec::new(),
            of_others: Vec::new(),
            requirements: Vec::new(),
            token: TokenReport::default(),
            issuer: None,
            trials: Trials::default(),
            is_refused: false,
        }
    }

    /// Says of each issuer whose keys are to be found by metadata what is known of that.
    fn metadata(&mut self) {
        for issuer in &self.settings.issuers {
            let is_discovered = issuer.keys.iter().any(|source| matches!(source, KeySource::Discovery(_)));
            let keys = of(&self.question.key_sets, &issuer.name);
            match (is_discovered, of(&self.question.metadata, &issuer.name), keys) {
                (true, None, Some(_)) => self.page.note(&format!(
                    "the metadata of {} was not given (--metadata): whether it is this issuer's is not looked at",
                    issuer.name
                )),
                (true, Some(metadata), _) => {
                    let document: Value = serde_json::from_slice(metadata).unwrap_or_default();
                    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
                    let (given, wanted) = (text("issuer"), issuer.metadata_issuer());
                    let mut lines = vec![quoted(wanted)];
                    if given != wanted {
                        self.of_others.push(issuer.name.to_string());
                        lines.push(format!("what differs: {}", difference(given, wanted)));
                    }
                    self.page.heading(&format!("the metadata of {}", issuer.name));
                    self.page.compared(Mark::of(given == wanted), "issuer", &quoted(given), &lines);
                    let mark = if given == wanted { Mark::Good } else { Mark::Open };
                    self.page.compared(mark, "jwks_uri", &quoted(text("jwks_uri")), &[]);
                }
                (false, _, _) | (true, None, None) => {}
            }
        }
    }

    fn finish(mut self, outcome: Option<&Outcome>) -> Explanation {
        self.token.write_trees(&mut self.page);
        if self.is_refused {
            self.token.write(&mut self.page);
        }
        let issuer =
            self.settings.issuers.iter().find(|issuer| Some(&*issuer.name) == self.issuer.as_deref());
        if let Some(issuer) = issuer {
            let report = KeyReport::new(issuer, of(&self.question.key_sets, &issuer.name));
            report.write(&mut self.page, &issuer.name, &self.trials, self.is_refused);
        }
        let is_forwarded = match outcome {
            Some(Outcome::Forward { edits, .. }) => {
                self.page.forwarded(edits, |_| None);
                true
            }
            Some(Outcome::Respond { response, .. }) => {
                self.page.answered(response);
                response.status < 300
            }
            Some(Outcome::AwaitBody { .. }) | None => false,
        };
        self.page.finish(is_forwarded)
    }

    fn issuer_name(&self, id: IssuerId) -> &'a str {
        self.settings.issuers.get(id.place()).map_or("?", |issuer| &*issuer.name)
    }

    /// Why there are no keys of an issuer.
    fn without_keys(&self, id: IssuerId) -> String {
        let name = self.issuer_name(id);
        if self.of_others.iter().any(|issuer| issuer == name) {
            return format!(
                "the metadata that was given for {name} names another issuer, so its keys are not asked for"
            );
        }
        let Some(document) = of(&self.question.key_sets, name) else {
            return format!("the keys of {name} were not given: --jwks {name}=FILE");
        };
        let issuer = self.settings.issuers.get(id.place());
        let report = issuer.map(|issuer| KeyReport::new(issuer, Some(document)));
        let fault = report.as_ref().and_then(KeyReport::fault);
        match (fault, report.as_ref().map(KeyReport::count), self.warnings.first()) {
            (Some(fault), _, _) => {
                format!("the file that was given for {name} is no key set to use: {fault}")
            }
            (None, Some((listed, 0)), _) => {
                format!("of the {listed} keys that were given for {name}, none can be used")
            }
            (None, _, Some(warning)) => format!("the filter does not take what was given: {warning}"),
            (None, _, None) => format!("the filter does not ask for the keys of {name}"),
        }
    }
}

impl Observer for Explainer<'_> {
    fn passed(&mut self, step: Step<'_>) {
        match step {
            Step::Route(route) => {
                let rule = match &route.rule {
                    Rule::Public => "public".to_owned(),
                    Rule::Deny => "denied".to_owned(),
                    Rule::Require(requirement) => {
                        self.requirements.push((**requirement).clone());
                        in_words(requirement, self.settings)
                    }
                    Rule::Optional(requirement) => {
                        self.requirements.push((**requirement).clone());
                        format!("no token, or {}", in_words(requirement, self.settings))
                    }
                };
                let mode = if route.mode == Mode::ReportOnly { " (report-only)" } else { "" };
                self.page.step("route", &format!("{}: {rule}{mode}", route.name));
            }
            Step::RouteMetadata(metadata) => {
                let all = (0..self.settings.issuers.len()).filter_map(IssuerId::at).collect();
                let scopes = Requirement::of_scopes(metadata.scopes.clone(), metadata.any_scope.clone());
                let named = metadata.requirements.iter().filter_map(|name| {
                    self.settings.requirements.get(name).map(|named| Requirement::Named(Rc::clone(named)))
                });
                let issuers = [Requirement::Leaf(Leaf::Issuer(all))];
                let demanded = issuers.into_iter().chain(scopes).chain(named).collect();
                self.requirements.push(Requirement::All(demanded));
                let lists = [&metadata.scopes, &metadata.any_scope, &metadata.requirements];
                let added: Vec<&str> = lists.into_iter().flatten().map(|text| &**text).collect();
                self.page.step("metadata", &format!("Envoy's route adds {}", added.join(" ")));
            }
            Step::Headers => self.page.step("headers", "none can be mistaken for a protected one"),
            Step::Public => self.page.step("public", "no token is needed"),
            Step::Anonymous => self.page.step("anonymous", "there is no token, and none is needed"),
            Step::Preflight => self.page.step("preflight", "a CORS preflight needs no token"),
            Step::Credential { bytes } => {
                self.page.step("credential", &format!("one token of {bytes} bytes"));
            }
            Step::Cached => self.page.step("cache", "the token has been verified before"),
            Step::Token(token) => {
                let header = token.header();
                let kid = header.kid.as_deref().map_or("none".to_owned(), quoted);
                let typ = header.typ.as_deref().map_or("none".to_owned(), quoted);
                self.page.step("token", &format!("alg {}, kid {kid}, typ {typ}", header.algorithm));
                self.token = TokenReport::new(token, &self.requirements, self.settings, self.question.now);
                self.trials.header = Some((header.algorithm, header.kid.as_deref().map(str::to_owned)));
            }
            Step::Issuer(issuer) => {
                let mode =
                    if issuer.mode == Mode::ReportOnly { " (report-only after the signature)" } else { "" };
                let (name, identifier) = (&issuer.name, quoted(issuer.rules.issuer.as_str()));
                self.page.step("issuer", &format!("{name} ({identifier}){mode}"));
                self.issuer = Some(issuer.name.to_string());
            }
            Step::Prescreen => {
                self.page.step("claims", "iss, alg, typ, aud, exp, nbf and iat keep the issuer's rules");
            }
            Step::Keys { candidates } => {
                self.trials.progress = Progress::Tried;
                self.page.step("keys", &format!("{candidates} could have signed it"));
            }
            Step::Verified { token, .. } => {
                let client = token.client().map_or("unnamed".to_owned(), quoted);
                let scopes = quoted_list(token.scopes().iter());
                self.page.step("signature", &format!("good; client {client}, scopes {scopes}"));
            }
            Step::Requirement(requirement) => {
                self.page.step("requirement", &in_words(requirement, self.settings));
            }
        }
    }

    fn tried(&mut self, key: &Key, outcome: Result<(), SignatureError>) {
        self.trials.tried.push((key.id(), outcome));
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        match evaluation {
            Evaluation::NeedsBody(_) => {
                self.is_refused = true;
                self.page.failed("waits", "its MCP message stands in its body: --body FILE");
            }
            Evaluation::Wait(wait) => {
                self.is_refused = true;
                let why = match wait.reason {
                    WaitReason::FirstKeys => {
                        self.trials.progress = Progress::NoKeys;
                        self.without_keys(wait.issuer)
                    }
                    WaitReason::UnknownKey(_) => format!(
                        "no key of {} verifies it: the filter would fetch the keys again, and deny it if they are \
                         no others",
                        self.issuer_name(wait.issuer)
                    ),
                };
                self.page.failed("waits", &why);
            }
            Evaluation::Decided(decision) => {
                if let Err(denial) = &decision.verdict {
                    self.is_refused = true;
                    let detail = match denial_data(denial) {
                        Some(data) => format!("{denial}: {data}"),
                        None => denial.to_string(),
                    };
                    self.page.failed(denial.label(), &detail);
                }
            }
        }
    }
}

/// What a denial knows beyond its text; the caller is not told.
fn denial_data(denial: &Denial) -> Option<String> {
    if let Denial::ScopeInsufficient { scopes } = denial {
        return Some(format!("needs {}", scopes.join(" ")));
    }
    if let Denial::ClaimNotAccepted { rule } = denial {
        return Some(format!("the rule is: {}", rule_in_words(rule)));
    }
    if let Denial::RouteMetadata(error) = denial {
        return Some(error.to_string());
    }
    if let Denial::Signature(error) = denial {
        return Some(error.to_string());
    }
    let Denial::Claim(error) = denial else { return None };
    let when = |what: &str, time: &Timestamp, now: &Timestamp| {
        Some(format!("{what} is {}, and now is {} (seconds since 1970)", time.secs(), now.secs()))
    };
    if let ClaimError::Expired { exp, now } = error {
        return when("exp", exp, now);
    }
    if let ClaimError::NotYetValid { nbf, now } = error {
        return when("nbf", nbf, now);
    }
    if let ClaimError::IssuedInFuture { iat, now } = error {
        return when("iat", iat, now);
    }
    if let ClaimError::LifetimeTooLong { lifetime, .. } = error {
        return Some(format!("exp - iat is {} s", lifetime.as_secs()));
    }
    None
}

/// More ticks than an issuer's documents take, however many issuers there are.
const MAX_ROUNDS: usize = 4096;
