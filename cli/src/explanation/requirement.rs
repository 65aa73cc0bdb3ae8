//! A requirement in words, and as a tree with a mark at each leaf.

use attache::claims::{AskedRule, ClaimTest, ClaimValue, RuleOutcome};
use attache::inbound;
use attache::jose::Object;
use attache::policy::{IssuerId, Leaf, Requirement, TokenFacts};

use super::page::{Mark, Page, quoted, shown};

/// What a token has to be good for, in one line.
pub(super) fn in_words(requirement: &Requirement, settings: &inbound::Settings) -> String {
    match requirement {
        Requirement::Leaf(Leaf::Scope(scope)) => format!("with scope {scope}"),
        Requirement::Leaf(leaf) => leaf_in_words(leaf, settings),
        Requirement::Named(named) => format!("that meets {}", named.name()),
        Requirement::Any(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| in_words(part, settings)).collect();
            format!("({})", parts.join(", or "))
        }
        Requirement::All(parts) if parts.is_empty() => "any token".to_owned(),
        Requirement::All(parts) => {
            let mut texts = Vec::new();
            let mut scopes = Vec::new();
            for part in parts {
                match part {
                    Requirement::Leaf(Leaf::Scope(scope)) => scopes.push(&**scope),
                    Requirement::Leaf(_)
                    | Requirement::All(_)
                    | Requirement::Any(_)
                    | Requirement::Named(_) => texts.push(in_words(part, settings)),
                }
            }
            if !scopes.is_empty() {
                texts.insert(texts.len().min(1), format!("with all of: {}", scopes.join(" ")));
            }
            texts.join(" ")
        }
    }
}

/// Whether there is more to it than issuers and scopes, so that a tree tells more than a line.
pub(super) fn is_tree(requirement: &Requirement) -> bool {
    let is_plain = |part: &Requirement| {
        matches!(part, Requirement::Leaf(Leaf::Issuer(_) | Leaf::Scope(_) | Leaf::AnyScope(_)))
    };
    match requirement {
        Requirement::All(parts) => !parts.iter().all(is_plain),
        Requirement::Leaf(_) | Requirement::Any(_) | Requirement::Named(_) => !is_plain(requirement),
    }
}

/// Writes a requirement as it is held against a token, a line for each part of it: for the eyes of the token's owner.
pub(super) fn write_tree(
    page: &mut Page,
    requirement: &Requirement,
    token: TokenFacts<'_>,
    claims: &Object<'_>,
    settings: &inbound::Settings,
) {
    Tree { page, token, claims, settings }.write(requirement, 0);
}

struct Tree<'a> {
    page: &'a mut Page,
    token: TokenFacts<'a>,
    claims: &'a Object<'a>,
    settings: &'a inbound::Settings,
}

impl Tree<'_> {
    fn write(&mut self, requirement: &Requirement, depth: usize) {
        let mark = Mark::of(requirement.is_met(self.token));
        let indent = "  ".repeat(depth);
        let (text, parts) = match requirement {
            Requirement::All(parts) if parts.is_empty() => ("any token".to_owned(), &parts[..]),
            Requirement::All(parts) => ("all of".to_owned(), &parts[..]),
            Requirement::Any(parts) => ("any of".to_owned(), &parts[..]),
            Requirement::Named(named) => {
                (format!("{}:", named.name()), core::slice::from_ref(named.requirement()))
            }
            Requirement::Leaf(leaf) => {
                let words = leaf_in_words(leaf, self.settings);
                let why = if mark == Mark::Bad { format!(": {}", self.why(leaf)) } else { String::new() };
                (format!("{words}{why}"), &[][..])
            }
        };
        self.page.line(mark, &format!("{indent}{text}"));
        for part in parts {
            self.write(part, depth.saturating_add(1));
        }
    }

    /// Why a leaf is not met.
    fn why(&self, leaf: &Leaf) -> String {
        match leaf {
            Leaf::Issuer(_) => "the token is of another issuer".to_owned(),
            Leaf::Scope(_) => "the token does not carry it".to_owned(),
            Leaf::AnyScope(_) => "the token carries none of them".to_owned(),
            Leaf::Client(_) => match self.token.claims.client() {
                Some(client) => format!("the token's client is {}", quoted(client)),
                None => "the token names no client".to_owned(),
            },
            Leaf::Audience(rule) | Leaf::Subject(rule) | Leaf::Claim(rule) => {
                let given =
                    || rule.rule().claim.find(self.claims).map_or_else(|| "on no object".to_owned(), shown);
                match self.token.claims.judge(rule) {
                    RuleOutcome::Missing => "the claim is not there".to_owned(),
                    RuleOutcome::WrongType => {
                        format!("the rule cannot be held against a claim of this type, {}", given())
                    }
                    RuleOutcome::Met | RuleOutcome::Unmet => format!("it is {}", given()),
                }
            }
        }
    }
}

/// One thing that is asked of a token.
pub(super) fn leaf_in_words(leaf: &Leaf, settings: &inbound::Settings) -> String {
    match leaf {
        Leaf::Issuer(issuers) => {
            format!("a token of {}", listed(names(issuers, settings).into_iter().map(str::to_owned)))
        }
        Leaf::Scope(scope) => format!("scope {scope}"),
        Leaf::AnyScope(scopes) => format!("with one of: {}", scopes.join(" ")),
        Leaf::Client(clients) => format!("of client {}", listed(clients.iter().map(|name| quoted(name)))),
        Leaf::Audience(rule) => format!("for {}", listed(values(rule))),
        Leaf::Subject(rule) => format!("about {}", listed(values(rule))),
        Leaf::Claim(rule) => rule_in_words(rule),
    }
}

/// What is asked of a claim.
pub(super) fn rule_in_words(rule: &AskedRule) -> String {
    let claim = &rule.rule().claim;
    match &rule.rule().test {
        ClaimTest::OneOf(_) | ClaimTest::Among(_) => format!("claim {claim} is {}", listed(values(rule))),
        ClaimTest::ContainsAny(_) => format!("claim {claim} contains {}", listed(values(rule))),
        ClaimTest::Prefix(prefix) => format!("claim {claim} begins with {}", quoted(prefix)),
        ClaimTest::Exists => format!("claim {claim} exists"),
        ClaimTest::Absent => format!("claim {claim} is absent"),
    }
}

fn values(rule: &AskedRule) -> impl ExactSizeIterator<Item = String> {
    let values = match &rule.rule().test {
        ClaimTest::OneOf(values) | ClaimTest::ContainsAny(values) | ClaimTest::Among(values) => &**values,
        ClaimTest::Prefix(_) | ClaimTest::Exists | ClaimTest::Absent => &[],
    };
    values.iter().map(|value| match value {
        ClaimValue::Bool(value) => value.to_string(),
        ClaimValue::Number(value) => value.to_string(),
        ClaimValue::Text(text) => quoted(text),
    })
}

/// Alternatives, not too many of them.
fn listed(texts: impl ExactSizeIterator<Item = String>) -> String {
    let more = texts.len().saturating_sub(MAX_LISTED);
    let mut texts: Vec<String> = texts.take(MAX_LISTED).collect();
    if more > 0 {
        texts.push(format!("{more} more"));
    }
    texts.join(" or ")
}

/// The names of issuers.
pub(super) fn names<'a>(issuers: &[IssuerId], settings: &'a inbound::Settings) -> Vec<&'a str> {
    let issuer = |id: &IssuerId| settings.issuers.get(id.place());
    issuers.iter().filter_map(issuer).map(|issuer| &*issuer.name).collect()
}

/// What fits a line.
const MAX_LISTED: usize = 20;
