//! Why a request is forwarded or refused: the filter's own code, told step by step.

use std::fmt::Write as _;

use attache::base::{
    Command, Edit, Headers, HttpReply, Jitter, Observation, Outcome, Random, RequestHead, Response,
    Timestamp, encode_pairs,
};
use attache::claims::ClaimError;
use attache::config::Config;
use attache::filter::{CallPurpose, Filter};
use attache::inbound::{Denial, Evaluation, Observer, Step, WaitReason};
use attache::issuer::DocumentKind;
use attache::jose::RustCrypto;
use attache::policy::{IssuerId, Leaf, Mode, Requirement, Rule};
use attache::sharing::{Context, NoSharedState};
use serde_json::json;

/// A request to explain.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// All headers, pseudo-headers included.
    pub headers: Vec<(String, String)>,
    /// What stands on Envoy's own route under `attache`: keys and texts.
    pub route_metadata: Vec<(String, String)>,
    /// The JWKS document of each issuer by name; an issuer that is missing has no keys yet.
    pub key_sets: Vec<(String, Vec<u8>)>,
    /// When the request comes.
    pub now: Timestamp,
}

/// What becomes of a request, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The steps and the result, a line each.
    pub text: String,
    /// Whether the request goes on to the upstream.
    pub is_forwarded: bool,
}

impl Question {
    /// Asks the filter.
    pub fn ask(&self, config: &Config) -> Explanation {
        let (mut jitter, mut observations) = (Jitter::new([0; 16]), Vec::new());
        let mut context = Context {
            now: self.now,
            crypto: &RustCrypto,
            random: &NothingIsSigned,
            shared: &NoSharedState,
            jitter: &mut jitter,
            observations: &mut observations,
        };
        let mut filter = Filter::new(config, [0; 16], &mut context);
        let mut explainer = Explainer { config, lines: String::new(), number: 0 };
        // An issuer's metadata, where there is some, and then its keys.
        for _ in 0..2 {
            let mut commands = Vec::new();
            filter.handle_tick(&mut context, &mut commands);
            for command in commands {
                let Command::Call { id, .. } = command else { continue };
                let Some(reply) = filter.purpose(id).and_then(|purpose| self.answer(config, purpose)) else {
                    continue;
                };
                context.observations.clear();
                filter.handle_reply(id, reply, &mut context, &mut Vec::new());
                explainer.tell_fetch(context.observations);
            }
        }
        let head = RequestHead {
            headers: self.headers.iter().map(|(name, value)| (name, value)).collect(),
            route_metadata: (!self.route_metadata.is_empty()).then(|| {
                encode_pairs(self.route_metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            }),
            ..RequestHead::default()
        };
        let outcome = filter.explain_request(head, &mut explainer, &mut context);
        explainer.finish(outcome.as_ref())
    }

    /// What an issuer answers, as far as the question says.
    fn answer(&self, config: &Config, purpose: CallPurpose) -> Option<HttpReply> {
        let CallPurpose::Issuer { issuer, document } = purpose else { return None };
        let issuer = config.inbound.as_ref()?.issuers.get(issuer)?;
        let (_, keys) = self.key_sets.iter().find(|(name, _)| **name == *issuer.name)?;
        let body = match document.kind {
            DocumentKind::Keys => keys.clone(),
            DocumentKind::Metadata => {
                let metadata = json!({ "issuer": &*issuer.rules.issuer, "jwks_uri": "https://keys.example" });
                metadata.to_string().into_bytes()
            }
        };
        Some(HttpReply::Response { status: 200, headers: Headers::default(), body: Ok(body) })
    }
}

/// An explanation asks for no token, so it signs nothing.
struct NothingIsSigned;

impl Random for NothingIsSigned {
    fn fill(&self, _bytes: &mut [u8]) {}
}

struct Explainer<'a> {
    config: &'a Config,
    lines: String,
    number: usize,
}

impl Explainer<'_> {
    fn step(&mut self, name: &str, seen: &str) {
        self.number = self.number.saturating_add(1);
        let _ = writeln!(self.lines, "{:>3}. {name:<12} {seen}", self.number);
    }

    fn failed(&mut self, label: &str, why: &str) {
        let _ = writeln!(self.lines, "  ✗  {label:<12} {why}");
    }

    fn tell_fetch(&mut self, observations: &[Observation]) {
        for observation in observations {
            if let Observation::Log { line, .. } = observation {
                let _ = writeln!(self.lines, "     {line}");
            }
        }
    }

    fn finish(mut self, outcome: Option<&Outcome>) -> Explanation {
        let is_forwarded = match outcome {
            Some(Outcome::Forward { edits, .. }) => {
                self.lines.push_str("→ forwarded\n");
                edits.iter().for_each(|edit| self.edit(edit));
                true
            }
            Some(Outcome::Respond { response, .. }) => {
                self.response(response);
                response.status < 300
            }
            None => false,
        };
        Explanation { text: self.lines, is_forwarded }
    }

    fn edit(&mut self, edit: &Edit) {
        let _ = match edit {
            Edit::Remove(name) => writeln!(self.lines, "  - {name}"),
            Edit::Set(name, value) => writeln!(self.lines, "  + {name}: {value}"),
        };
    }

    fn response(&mut self, response: &Response) {
        let _ = writeln!(self.lines, "→ answered {}", response.status);
        for (name, value) in &response.headers {
            let _ = writeln!(self.lines, "  {name}: {value}");
        }
        if !response.body.is_empty() {
            let _ = writeln!(self.lines, "\n  {}", response.body);
        }
    }

    fn issuer(&self, id: IssuerId) -> Option<&str> {
        Some(&*self.config.inbound.as_ref()?.issuers.get(id.place())?.name)
    }

    fn requirement(&self, requirement: &Requirement) -> String {
        match requirement {
            Requirement::Leaf(Leaf::Issuer(issuers)) => {
                let names: Vec<&str> = issuers.iter().filter_map(|id| self.issuer(*id)).collect();
                format!("a token of {}", names.join(" or "))
            }
            Requirement::Leaf(Leaf::Scope(scope)) => scope.to_string(),
            Requirement::Any(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| self.requirement(part)).collect();
                format!("with one of: {}", parts.join(" "))
            }
            Requirement::All(parts) => {
                let is_scope = |part: &&Requirement| matches!(part, Requirement::Leaf(Leaf::Scope(_)));
                let (scopes, others): (Vec<_>, Vec<_>) = parts.iter().partition(is_scope);
                let scopes: Vec<_> = scopes.into_iter().map(|scope| self.requirement(scope)).collect();
                let mut texts: Vec<_> = others.into_iter().map(|part| self.requirement(part)).collect();
                if !scopes.is_empty() {
                    texts.insert(texts.len().min(1), format!("with all of: {}", scopes.join(" ")));
                }
                texts.join(" ")
            }
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
                    Rule::Require(requirement) => self.requirement(requirement),
                };
                let mode = if route.mode == Mode::ReportOnly { " (report-only)" } else { "" };
                self.step("route", &format!("{}: {rule}{mode}", route.name));
            }
            Step::RouteMetadata(metadata) => {
                let scopes: Vec<&str> =
                    metadata.scopes.iter().chain(&metadata.any_scope).map(|s| &**s).collect();
                self.step("metadata", &format!("Envoy's route adds {}", scopes.join(" ")));
            }
            Step::Headers => self.step("headers", "none can be mistaken for a protected one"),
            Step::Public => self.step("public", "no token is needed"),
            Step::Preflight => self.step("preflight", "a CORS preflight needs no token"),
            Step::Credential { bytes } => self.step("credential", &format!("one token of {bytes} bytes")),
            Step::Cached => self.step("cache", "the token has been verified before"),
            Step::Token(token) => {
                let header = token.header();
                let kid = header.kid.as_deref().map_or("none".to_owned(), |kid| format!("{kid:?}"));
                let typ = header.typ.as_deref().map_or("none".to_owned(), |typ| format!("{typ:?}"));
                self.step("token", &format!("alg {}, kid {kid}, typ {typ}", header.algorithm));
            }
            Step::Issuer(issuer) => {
                self.step("issuer", &format!("{} ({})", issuer.name, issuer.rules.issuer))
            }
            Step::Prescreen => {
                self.step("claims", "iss, alg, typ, aud, exp, nbf and iat keep the issuer's rules")
            }
            Step::Keys { candidates } => self.step("keys", &format!("{candidates} could have signed it")),
            Step::Verified { token, .. } => {
                let scopes: Vec<&str> = token.scopes().iter().collect();
                let client = token.client().unwrap_or("unnamed");
                self.step("signature", &format!("good; client {client:?}, scopes: {}", scopes.join(" ")));
            }
            Step::Requirement(requirement) => self.step("requirement", &self.requirement(requirement)),
        }
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        match evaluation {
            Evaluation::Wait(wait) => {
                let name = self.issuer(wait.issuer).unwrap_or("?").to_owned();
                let why = match wait.reason {
                    WaitReason::FirstKeys => {
                        format!("the keys of {name} are not here: give --jwks {name}=FILE")
                    }
                    WaitReason::UnknownKey(_) => {
                        format!(
                            "the set of {name} has no key that verifies it: the filter would fetch it again and wait"
                        )
                    }
                };
                self.failed("waits", &why);
            }
            Evaluation::Decided(decision) => {
                if let Err(denial) = &decision.verdict {
                    let detail = match denial_data(denial) {
                        Some(data) => format!("{denial}: {data}"),
                        None => denial.to_string(),
                    };
                    self.failed(denial.label(), &detail);
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
