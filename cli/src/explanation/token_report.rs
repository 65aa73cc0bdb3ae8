//! What a token says beside what its issuer's rules and the route want: all of it, not only the first thing that is
//! wrong.

use core::time::Duration;

use attache::base::Timestamp;
use attache::claims::{Audiences, ClaimError, ClaimPath, Expiry, Rules, TokenIssuer, TokenType};
use attache::inbound::{Issuer, Settings};
use attache::jose::{AlgorithmSet, Json, UnverifiedToken};
use attache::policy::{IssuerId, Leaf, Requirement, TokenFacts};

use super::difference::{difference, nearest};
use super::page::{Mark, Page, quoted, quoted_list, shown};
use super::requirement::{in_words, is_tree, names, write_tree};

/// The comparison, as lines to be.
#[derive(Debug, Default)]
pub(super) struct TokenReport {
    /// Whose rules it is held against, if the token names no issuer that is configured.
    nearest: Option<String>,
    rows: Vec<Row>,
    /// The requirements that a line does not tell, each held against the token.
    trees: Page,
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
        let known = settings.issuer_index.find(token.claims());
        let likely = || {
            let configured = settings.issuers.iter().map(|issuer| issuer.rules.issuer.as_str());
            nearest(iss.unwrap_or_default(), configured).and_then(IssuerId::at)
        };
        let Some(id) = known.or_else(likely) else { return Self::default() };
        let Some(issuer) = settings.issuers.get(id.place()) else { return Self::default() };
        let comparison = Comparison { token, rules: &issuer.rules, now };
        let mut rows = vec![comparison.issuer(issuer, known.is_some(), id, requirements, settings)];
        rows.extend(comparison.algorithm());
        rows.push(comparison.token_type());
        rows.extend(comparison.required_claims());
        rows.push(comparison.audience());
        rows.extend(comparison.times());
        rows.push(comparison.scopes(id, requirements, settings));
        let several = settings.issuers.len() > 1;
        let nearest = (known.is_none() && several).then(|| issuer.name.to_string());
        let mut trees = Page::default();
        if known.is_some()
            && let Ok(claims) = issuer.rules.keep(token.claims())
        {
            let facts = TokenFacts { issuer: id, claims: &claims };
            for requirement in requirements.iter().filter(|requirement| is_tree(requirement)) {
                trees.heading("the requirement, held against the token");
                write_tree(&mut trees, requirement, facts, token.claims(), settings);
            }
        }
        Self { nearest, rows, trees }
    }

    /// Writes the requirements that a line does not tell.
    pub(super) fn write_trees(&mut self, page: &mut Page) {
        page.append(core::mem::take(&mut self.trees));
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
        let configured = self.rules.issuer.as_str();
        let mut wanted = vec![format!("{} (issuer {})", quoted(configured), issuer.name)];
        if let Some(iss) = self.claim("iss").and_then(Json::as_str).filter(|_| !is_known) {
            wanted.push(differs(&difference(iss, configured)));
        }
        match &self.rules.issuer {
            TokenIssuer::Named(_) => {}
            TokenIssuer::Tenants(_) => {
                wanted.push(format!("and `tid`, here {}, is the same one of the tenants", self.shown("tid")));
            }
            TokenIssuer::TrustDomain(_) => {
                wanted.push(format!("by `sub`, here {}: `iss` need not be there", self.shown("sub")));
            }
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
        let wanted = vec![match self.rules.token_type {
            TokenType::Any => "any (the issuer's `type` is not at+jwt)".to_owned(),
            TokenType::AccessToken => "\"at+jwt\" (the issuer's `type`)".to_owned(),
            TokenType::Svid => "none, \"JWT\" or \"JOSE\" (JWT-SVID)".to_owned(),
        }];
        let given = self.token.header().typ.as_deref().map_or("none".to_owned(), quoted);
        Row { mark: mark_of(outcome), name: "typ", given, wanted }
    }

    /// Only where some are missing. `aud` and `exp` have rows of their own.
    fn required_claims(&self) -> Option<Row> {
        let all = &self.rules.required_claims;
        let has_row = |claim: &ClaimPath| ["aud", "exp"].contains(&claim.top_level().unwrap_or_default());
        let lacks = |claim: &&ClaimPath| {
            let outcome = self.outcome(|rules| rules.required_claims = vec![(*claim).clone()]);
            !has_row(claim) && matches!(outcome, Some(Err(_)))
        };
        let names = |claims: &mut dyn Iterator<Item = &ClaimPath>| {
            claims.map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let lacking = names(&mut all.iter().filter(lacks));
        let wanted = vec![format!("{} (the issuer's required claims)", names(&mut all.iter()))];
        let row = Row { mark: Mark::Bad, name: "claims", given: format!("without {lacking}"), wanted };
        (!lacking.is_empty()).then_some(row)
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
        let claims = match self.rules.keep(self.token.claims()) {
            Ok(claims) => claims,
            Err(error) => {
                return Row { mark: Mark::Bad, name: "scopes", given: error.to_string(), wanted };
            }
        };
        let facts = TokenFacts { issuer, claims: &claims };
        // Those of trees are shown in them.
        let plain = requirements.iter().filter(|requirement| !is_tree(requirement));
        let mut lacks = Vec::new();
        for requirement in plain.filter(|requirement| !requirement.is_met(facts)) {
            collect_scopes(requirement, facts, &mut lacks);
        }
        let mut wanted = wanted;
        if !lacks.is_empty() {
            wanted.push(format!("it lacks {}", quoted_list(lacks.iter().copied())));
        }
        let given = quoted_list(claims.scopes().iter());
        // Which of them a tree wants, the tree shows.
        let mark = match requirements.iter().any(is_tree) {
            true if lacks.is_empty() => Mark::Open,
            true | false => Mark::of(lacks.is_empty()),
        };
        Row { mark, name: "scopes", given, wanted }
    }

    /// What the rules say of the token when only those count that `only` puts in; `None` where the token's issuer
    /// cannot be read, without which they say nothing.
    fn outcome(&self, only: impl FnOnce(&mut Rules)) -> Option<Result<(), ClaimError>> {
        // Whose it is has a row of its own.
        let issuer = match &self.rules.issuer {
            TokenIssuer::Named(_) | TokenIssuer::Tenants(_) => {
                TokenIssuer::Named(self.claim("iss").and_then(Json::as_str)?.into())
            }
            TokenIssuer::TrustDomain(_) => self.rules.issuer.clone(),
        };
        let mut rules = Rules {
            issuer,
            metadata_issuer: None,
            audiences: Audiences::Any,
            algorithms: AlgorithmSet::of(&[self.token.header().algorithm]),
            token_type: TokenType::Any,
            required_claims: Vec::new(),
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
        Requirement::Named(named) => collect_issuers(named.requirement(), settings, found),
        Requirement::Leaf(Leaf::Issuer(issuers)) => found.extend(names(issuers, settings)),
        Requirement::Leaf(_) => {}
    }
}

/// The scopes that a token lacks of a requirement that is no tree.
fn collect_scopes<'a>(requirement: &'a Requirement, token: TokenFacts<'_>, found: &mut Vec<&'a str>) {
    match requirement {
        Requirement::All(parts) => parts.iter().for_each(|part| collect_scopes(part, token, found)),
        Requirement::Leaf(leaf) if leaf.is_met(token) => {}
        Requirement::Leaf(Leaf::Scope(scope)) => found.push(scope),
        Requirement::Leaf(Leaf::AnyScope(scopes)) => found.extend(scopes.iter().map(|scope| &**scope)),
        Requirement::Leaf(_) | Requirement::Any(_) | Requirement::Named(_) => {}
    }
}

fn strings<'a>(value: &'a Json<'_>) -> Vec<&'a str> {
    match value {
        Json::String(text) => vec![text],
        Json::Array(items) => items.iter().filter_map(Json::as_str).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => Vec::new(),
    }
}
