//! A requirement as far as a record tells whether it was met.

use attache::inbound::Settings;
use attache::policy::{IssuerId, Leaf, Requirement};

use super::super::page::{Mark, Page, quoted};
use super::super::requirement::leaf_in_words;
use super::line::{Record, logged};

/// What a record says of its token.
pub(super) struct Facts<'a> {
    issuer: Option<IssuerId>,
    client: Option<&'a str>,
    needed: Vec<&'a str>,
    missing: Vec<&'a str>,
    /// Which of the members that a record does not show was not met.
    unmet: Option<Unmet>,
}

/// A member of a requirement whose claims no record shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unmet {
    Audience,
    Subject,
    Claim,
}

impl<'a> Facts<'a> {
    pub(super) fn of(record: &'a Record, settings: &Settings) -> Self {
        let issuer = record.text("issuer").and_then(|name| {
            let place = settings.issuers.iter().position(|issuer| &*issuer.name == name)?;
            IssuerId::at(place)
        });
        let unmet = match record.text("reason") {
            Some("audience_not_accepted") => Some(Unmet::Audience),
            Some("subject_not_accepted") => Some(Unmet::Subject),
            Some("claim_not_accepted") => Some(Unmet::Claim),
            Some(_) | None => None,
        };
        // What was cut is not the client's name any more.
        let is_whole = |_: &&str| !record.is_cut("client");
        Self {
            issuer,
            client: record.text("client").filter(is_whole),
            needed: record.words("scopes_needed"),
            missing: record.words("scopes_missing"),
            unmet,
        }
    }

    /// Good or bad where the record tells, else open.
    pub(super) fn judge(&self, requirement: &Requirement) -> Mark {
        match requirement {
            Requirement::All(parts) => {
                let marks: Vec<Mark> = parts.iter().map(|part| self.judge(part)).collect();
                match () {
                    () if marks.contains(&Mark::Bad) => Mark::Bad,
                    () if marks.contains(&Mark::Open) => Mark::Open,
                    () => Mark::Good,
                }
            }
            Requirement::Any(parts) => {
                let marks: Vec<Mark> = parts.iter().map(|part| self.judge(part)).collect();
                match () {
                    () if marks.contains(&Mark::Good) => Mark::Good,
                    () if marks.contains(&Mark::Open) => Mark::Open,
                    () => Mark::Bad,
                }
            }
            Requirement::Named(named) => self.judge(named.requirement()),
            Requirement::Leaf(leaf) => self.judge_leaf(leaf),
        }
    }

    /// Whether the client is one that each list of clients in the requirement has.
    pub(super) fn accepts_client(&self, requirement: &Requirement) -> bool {
        match requirement {
            Requirement::All(parts) | Requirement::Any(parts) => {
                parts.iter().all(|part| self.accepts_client(part))
            }
            Requirement::Named(named) => self.accepts_client(named.requirement()),
            Requirement::Leaf(leaf @ Leaf::Client(_)) => self.judge_leaf(leaf) == Mark::Good,
            Requirement::Leaf(_) => true,
        }
    }

    fn judge_leaf(&self, leaf: &Leaf) -> Mark {
        let open = |is_known: bool, is_good: bool| if is_known { Mark::of(is_good) } else { Mark::Open };
        match leaf {
            Leaf::Issuer(issuers) => {
                open(self.issuer.is_some(), self.issuer.is_some_and(|issuer| issuers.contains(&issuer)))
            }
            Leaf::Client(clients) => {
                let is_named = |client: &str| clients.iter().any(|name| logged(name) == client);
                open(self.client.is_some(), self.client.is_some_and(is_named))
            }
            Leaf::Scope(scope) => self.judge_scope(scope),
            Leaf::AnyScope(scopes) => {
                let marks: Vec<Mark> = scopes.iter().map(|scope| self.judge_scope(scope)).collect();
                match () {
                    () if marks.contains(&Mark::Good) => Mark::Good,
                    () if marks.contains(&Mark::Bad) => Mark::Bad,
                    () => Mark::Open,
                }
            }
            // Which of several it was, the record does not say.
            Leaf::Audience(_) | Leaf::Subject(_) | Leaf::Claim(_) => Mark::Open,
        }
    }

    fn judge_scope(&self, scope: &str) -> Mark {
        let scope = logged(scope);
        match () {
            () if self.missing.contains(&&*scope) => Mark::Bad,
            () if self.needed.contains(&&*scope) => Mark::Good,
            () => Mark::Open,
        }
    }

    fn why(&self, leaf: &Leaf, mark: Mark) -> Option<String> {
        match (leaf, mark) {
            (Leaf::Issuer(_), Mark::Bad) => Some("the token is of another issuer".to_owned()),
            (Leaf::Client(_), Mark::Bad) => {
                Some(format!("the token's client is {}", quoted(self.client.unwrap_or_default())))
            }
            (Leaf::Scope(_), Mark::Bad) => Some("the token does not carry it".to_owned()),
            (Leaf::AnyScope(_), Mark::Bad) => Some("the token carries none of them".to_owned()),
            (Leaf::Audience(_), Mark::Open) if self.unmet == Some(Unmet::Audience) => Some(MAY_BE.to_owned()),
            (Leaf::Subject(_), Mark::Open) if self.unmet == Some(Unmet::Subject) => Some(MAY_BE.to_owned()),
            (Leaf::Claim(_), Mark::Open) if self.unmet == Some(Unmet::Claim) => Some(MAY_BE.to_owned()),
            _ => None,
        }
    }

    /// Writes it, a line for each part.
    pub(super) fn write(
        &self,
        page: &mut Page,
        requirement: &Requirement,
        settings: &Settings,
        depth: usize,
    ) {
        let mark = self.judge(requirement);
        let indent = "  ".repeat(depth);
        let (text, parts) = match requirement {
            Requirement::All(parts) if parts.is_empty() => ("any token".to_owned(), &parts[..]),
            Requirement::All(parts) => ("all of".to_owned(), &parts[..]),
            Requirement::Any(parts) => ("any of".to_owned(), &parts[..]),
            Requirement::Named(named) => {
                (format!("{}:", named.name()), core::slice::from_ref(named.requirement()))
            }
            Requirement::Leaf(leaf) => {
                let why = self.why(leaf, mark).map(|why| format!(": {why}")).unwrap_or_default();
                (format!("{}{why}", leaf_in_words(leaf, settings)), &[][..])
            }
        };
        page.line(mark, &format!("{indent}{text}"));
        for part in parts {
            self.write(page, part, settings, depth.saturating_add(1));
        }
    }
}

const MAY_BE: &str = "this may be what was not met: the record does not show the claim";
