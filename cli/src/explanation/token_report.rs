//! What a token says beside what its issuer's rules and the route want: all of it, not only the first thing that is
//! wrong.

use core::time::Duration;

use attache::base::Timestamp;
use attache::claims::{Audiences, ClaimError, Expiry, Rules, ScopeSet, TokenType};
use attache::inbound::{Issuer, Settings};
use attache::jose::{AlgorithmSet, Json, UnverifiedToken};
use attache::policy::{IssuerId, Leaf, Requirement, TokenFacts};

use super::difference::{difference, nearest};
use super::page::{Mark, Page, quoted, quoted_list};
use super::requirement::{in_words, names};

/// The comparison, as lines to be.
#[derive(Debug, Default)]
pub(super) struct TokenReport {
    /// Whose rules it is held against, if the token names no issuer that is configured.
    nearest: Option<String>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    mark: Mark,
    name: &'static str,
    given: String,
    wanted: Vec<String>,
}

/// A token, and whose rules it is held against.
struct Comparison<'a> {
    token: &'a UnverifiedToken<'a>,
    rules: &'a Rules,
    now: Timestamp,
}

impl TokenReport {
    /// Compares a token with the rules of its issuer, or of that which is named most like it, and with the route's
    /// requirements. It judges by the rules themselves, one at a time.
    pub(super) fn new(
        token: &UnverifiedToken<'_>,
        requirements: &[Requirement],
        settings: &Settings,
        now: Timestamp,
    ) -> Self {
        let iss = token.claims().get("iss").and_then(Json::as_str);
        let known = iss.and_then(|iss| settings.issuer_places.get(iss)).copied();
        let likely = || {
            let configured = settings.issuers.iter().map(|issuer| &*issuer.rules.issuer);
            nearest(iss.unwrap_or_default(), configured).and_then(IssuerId::at)
        };
        let Some(id) = known.or_else(likely) else { return Self::default() };
        let Some(issuer) = settings.issuers.get(id.place()) else { return Self::default() };
        let comparison = Comparison { token, rules: &issuer.rules, now };
        let mut rows = vec![comparison.issuer(issuer, known.is_some(), id, requirements, settings)];
        rows.extend(comparison.algorithm());
        rows.push(comparison.token_type());
        rows.push(comparison.audience());
        rows.extend(comparison.times());
        rows.push(comparison.scopes(id, requirements, settings));
        let several = settings.issuers.len() > 1;
        let nearest = (known.is_none() && several).then(|| issuer.name.to_string());
        Self { nearest, rows }
    }

    /// Writes it, unless there is nothing.
    pub(super) fn write(&self, page: &mut Page) {
        if self.rows.is_empty() {
            return;
        }
        match &self.nearest {
            Some(name) => {
                page.heading(&format!("the token, beside the configured issuer that is nearest, {name}"))
            }
            None => page.heading("the token, beside what is configured"),
        }
        for row in &self.rows {
            page.compared(row.mark, row.name, &row.given, &row.wanted);
        }
    }
}

impl Comparison<'_> {
    fn issuer(
        &self,
        issuer: &Issuer,
        is_known: bool,
        id: IssuerId,
        requirements: &[Requirement],
        settings: &Settings,
    ) -> Row {
        let mut wanted = vec![format!("{} (issuer {})", quoted(&self.rules.issuer), issuer.name)];
        if let Some(iss) = self.claim("iss").and_then(Json::as_str).filter(|_| !is_known) {
            wanted.push(differs(&difference(iss, &self.rules.issuer)));
        }
        let refusing = requirements.iter().find(|requirement| !requirement.accepts(id));
        if let Some(requirement) = refusing {
            wanted.push(format!("the route takes {} only", issuers_of(requirement, settings)));
        }
        let mark = Mark::of(is_known && refusing.is_none());
        Row { mark, name: "iss", given: self.shown("iss"), wanted }
    }

    /// Only where it is not on the list.
    fn algorithm(&self) -> Option<Row> {
        let mark = self.mark(|rules| rules.algorithms = self.rules.algorithms);
        let wanted =
            self.rules.algorithms.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(" ");
        let given = self.token.header().algorithm.name().to_owned();
        (mark == Mark::Bad).then(|| Row { mark, name: "alg", given, wanted: vec![wanted] })
    }

    fn token_type(&self) -> Row {
        let outcome = self.outcome(|rules| rules.token_type = self.rules.token_type);
        let mut wanted = vec![match self.rules.token_type {
            TokenType::Any => "any (the issuer's `type` is not at+jwt)".to_owned(),
            TokenType::AccessToken => "\"at+jwt\" (the issuer's `type`)".to_owned(),
        }];
        // RFC 9068 wants claims beside it.
        if let Some(Err(error @ ClaimError::Missing { .. })) = &outcome {
            wanted.push(format!("{error}, and at+jwt wants it"));
        }
        let given = self.token.header().typ.as_deref().map_or("none".to_owned(), quoted);
        Row { mark: mark_of(outcome), name: "typ", given, wanted }
    }

    fn audience(&self) -> Row {
        let mark = self.mark(|rules| rules.audiences = self.rules.audiences.clone());
        let wanted = match &self.rules.audiences {
            Audiences::Any => vec!["any".to_owned()],
            Audiences::OneOf(audiences) => {
                let mut lines = vec![quoted_list(audiences.iter().map(|audience| &**audience))];
                let given = self.claim("aud").map(strings).unwrap_or_default();
                let nearest = |wanted: &str| nearest(wanted, given.iter().copied());
                // Where several are there or wanted, what differs is told of no pair.
                if let (Mark::Bad, [wanted], [given]) = (mark, audiences.as_slice(), given.as_slice()) {
                    lines.push(differs(&difference(given, wanted)));
                } else if mark == Mark::Bad && given.is_empty() {
                    lines.push("the issuer names none: have it put the audience into the token".to_owned());
                } else if let (Mark::Bad, [wanted]) = (mark, audiences.as_slice()) {
                    let given =
                        nearest(wanted).and_then(|place| given.get(place)).copied().unwrap_or_default();
                    lines.push(format!("nearest is {}: {}", quoted(given), difference(given, wanted)));
                }
                lines
            }
        };
        Row { mark, name: "aud", given: self.shown("aud"), wanted }
    }

    /// `exp` always, and of the others those that are wrong.
    fn times(&self) -> Vec<Row> {
        let outcome = self.outcome(|rules| {
            rules.expiry = self.rules.expiry;
            rules.max_lifetime = self.rules.max_lifetime;
            rules.clock_skew = self.rules.clock_skew;
        });
        let skew = self.rules.clock_skew.as_secs();
        let now = self.now.secs();
        let later = format!("later than now, {now}, less {skew} s of clock skew");
        let sooner = format!("not later than now, {now}, plus {skew} s of clock skew");
        let exp = |mark, wanted| Row { mark, name: "exp", given: self.time("exp"), wanted: vec![wanted] };
        let of = |name| Row { mark: Mark::Bad, name, given: self.time(name), wanted: vec![sooner.clone()] };
        match outcome {
            None => vec![exp(Mark::Open, later)],
            Some(Ok(())) => vec![exp(Mark::Good, later)],
            Some(Err(ClaimError::NotYetValid { .. })) => vec![exp(Mark::Good, later), of("nbf")],
            Some(Err(ClaimError::IssuedInFuture { .. })) => vec![exp(Mark::Good, later), of("iat")],
            Some(Err(ClaimError::LifetimeTooLong { lifetime, max })) => {
                let wanted = format!("at most {} s after iat; it is {} s", max.as_secs(), lifetime.as_secs());
                vec![exp(Mark::Bad, wanted)]
            }
            Some(Err(ClaimError::Expired { .. })) => vec![exp(Mark::Bad, later)],
            Some(Err(error)) => vec![exp(Mark::Bad, error.to_string())],
        }
    }

    fn scopes(&self, issuer: IssuerId, requirements: &[Requirement], settings: &Settings) -> Row {
        let wanted: Vec<String> =
            requirements.iter().map(|requirement| in_words(requirement, settings)).collect();
        let scopes = match ScopeSet::read(self.token.claims(), &self.rules.asked.scopes_from) {
            Ok(scopes) => scopes,
            Err(error) => {
                return Row { mark: Mark::Bad, name: "scopes", given: error.to_string(), wanted };
            }
        };
        let facts = TokenFacts { issuer, scopes: &scopes };
        let unmet = requirements.iter().flat_map(|requirement| requirement.unmet(facts));
        let lacks: Vec<&str> = unmet
            .filter_map(|leaf| match leaf {
                Leaf::Scope(scope) => Some(&**scope),
                Leaf::Issuer(_) => None,
            })
            .collect();
        let mut wanted = wanted;
        if !lacks.is_empty() {
            wanted.push(format!("it lacks {}", quoted_list(lacks.iter().copied())));
        }
        let given = quoted_list(scopes.iter());
        Row { mark: Mark::of(lacks.is_empty()), name: "scopes", given, wanted }
    }

    /// What the rules say of the token when only those count that `only` puts in; `None` where the token's issuer
    /// cannot be read, without which they say nothing.
    fn outcome(&self, only: impl FnOnce(&mut Rules)) -> Option<Result<(), ClaimError>> {
        let mut rules = Rules {
            issuer: self.claim("iss").and_then(Json::as_str)?.into(),
            audiences: Audiences::Any,
            algorithms: AlgorithmSet::of(&[self.token.header().algorithm]),
            token_type: TokenType::Any,
            expiry: Expiry::Optional,
            max_lifetime: None,
            clock_skew: Duration::MAX,
            asked: self.rules.asked.clone(),
        };
        only(&mut rules);
        Some(rules.check(self.token, self.now).map(drop))
    }

    fn mark(&self, only: impl FnOnce(&mut Rules)) -> Mark {
        mark_of(self.outcome(only))
    }

    fn claim(&self, name: &str) -> Option<&Json<'_>> {
        self.token.claims().get(name).filter(|value| **value != Json::Null)
    }

    fn shown(&self, name: &str) -> String {
        self.claim(name).map_or("none".to_owned(), shown)
    }

    /// A time, and how far it is from now.
    fn time(&self, name: &str) -> String {
        let Some(value) = self.claim(name) else { return "none".to_owned() };
        let secs = value.as_number().and_then(serde_json::Number::as_u64);
        let distance = secs.map(Timestamp::from_secs).map(|time| match time.since(self.now) {
            Duration::ZERO => format!(", {} s ago", self.now.since(time).as_secs()),
            ahead => format!(", in {} s", ahead.as_secs()),
        });
        format!("{}{}", shown(value), distance.unwrap_or_default())
    }
}

fn mark_of(outcome: Option<Result<(), ClaimError>>) -> Mark {
    outcome.map_or(Mark::Open, |outcome| Mark::of(outcome.is_ok()))
}

fn differs(what: &str) -> String {
    format!("what differs: {what}")
}

fn issuers_of(requirement: &Requirement, settings: &Settings) -> String {
    let mut found = Vec::new();
    collect_issuers(requirement, settings, &mut found);
    format!("tokens of {}", found.join(" or "))
}

fn collect_issuers<'a>(requirement: &Requirement, settings: &'a Settings, found: &mut Vec<&'a str>) {
    match requirement {
        Requirement::All(parts) | Requirement::Any(parts) => {
            parts.iter().for_each(|part| collect_issuers(part, settings, found));
        }
        Requirement::Leaf(Leaf::Issuer(issuers)) => found.extend(names(issuers, settings)),
        Requirement::Leaf(Leaf::Scope(_)) => {}
    }
}

fn strings<'a>(value: &'a Json<'_>) -> Vec<&'a str> {
    match value {
        Json::String(text) => vec![text],
        Json::Array(items) => items.iter().filter_map(Json::as_str).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => Vec::new(),
    }
}

fn shown(value: &Json<'_>) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => quoted(text),
        Json::Array(items) => {
            let more = if items.len() > MAX_ITEMS { " …" } else { "" };
            let items: Vec<String> = items.iter().take(MAX_ITEMS).map(shown).collect();
            format!("{}{more}", items.join(" "))
        }
        Json::Object(_) => "an object".to_owned(),
    }
}

/// How many values of a list are shown.
const MAX_ITEMS: usize = 20;
