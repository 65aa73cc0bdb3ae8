//! What servers answered, beside what the filter wants of it: for `check --online`, where there is no request.

use std::rc::Rc;

use attache::base::Timestamp;
use attache::claims::VerifiedToken;
use attache::inbound::{Issuer, Settings};
use attache::jose::{Json, KeySet, Object, RustCrypto, SignatureError, TokenParts, UnverifiedToken};
use attache::policy::{IssuerId, TokenFacts};

use super::difference::difference;
use super::key_report::{KeyReport, Trials};
use super::page::{Mark, Page, quoted};
use super::token_report::TokenReport;

/// What an inbound half would make of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It would accept it, where it meets the requirement.
    Accepted,
    /// It would deny it.
    Denied,
    /// There is no inbound half, its keys are not here, or the token is not a JWT.
    Unknown,
}

/// An inbound half and the keys that its issuers have now.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    pub(crate) settings: Rc<Settings>,
    pub(crate) keys: Vec<Option<Rc<KeySet>>>,
}

/// Whose issuer metadata says that it is.
pub(crate) fn metadata_lines(document: &[u8], issuer: &str, member: &str) -> Vec<String> {
    let Ok(document) = Object::parse(document) else { return Vec::new() };
    let text = |name: &str| document.get(name).and_then(Json::as_str);
    let given = text("issuer");
    let mut wanted = vec![quoted(issuer)];
    if let Some(given) = given.filter(|given| *given != issuer) {
        wanted.push(format!("what differs: {}", difference(given, issuer)));
    }
    let mut page = Page::default();
    let shown = |text: Option<&str>| text.map_or("none".to_owned(), quoted);
    page.compared(Mark::of(given == Some(issuer)), "issuer", &shown(given), &wanted);
    page.line(Mark::of(text(member).is_some()), &format!("{member} {}", shown(text(member))));
    lines(page)
}

/// Each key of a document, and of the configuration beside it, and why it cannot be used.
pub(crate) fn key_lines(issuer: &Issuer, document: &[u8]) -> Vec<String> {
    let report = KeyReport::new(issuer, Some(document));
    if report.fault().is_some() {
        return Vec::new();
    }
    let mut page = Page::default();
    report.write(&mut page, &issuer.name, &Trials::default(), true);
    lines(page)
}

/// What a token says, beside what an inbound half wants, and what that would make of it. Claims, never the token.
pub(crate) fn token_lines(
    token: &[u8],
    inbound: Option<&Inbound>,
    now: Timestamp,
) -> (Judgement, Vec<String>) {
    let not_a_jwt = || {
        (Judgement::Unknown, vec!["the token is not a JWT: only its issuer can say what it is".to_owned()])
    };
    let Ok(parts) = TokenParts::decode(token) else { return not_a_jwt() };
    let Ok(token) = parts.read() else { return not_a_jwt() };
    let mut page = Page::default();
    let Some(inbound) = inbound else {
        page.heading("the token says");
        for name in CLAIMS {
            let value = token.claims().get(name).map_or("none".to_owned(), shown);
            page.line(Mark::Open, &format!("{name} {value}"));
        }
        return (Judgement::Unknown, lines(page));
    };
    TokenReport::new(&token, &[], &inbound.settings, now).write(&mut page);
    let judgement = match accepted(&token, inbound, now) {
        Ok((id, verified)) => {
            page.line(Mark::Good, "the inbound half of these files would accept it");
            routes(&mut page, inbound, id, &verified);
            Judgement::Accepted
        }
        Err((judgement, why)) => {
            let mark = if judgement == Judgement::Denied { Mark::Bad } else { Mark::Open };
            page.line(mark, &why);
            judgement
        }
    };
    (judgement, lines(page))
}

/// Holds a token against the rules and the keys of its issuer, as the inbound half does.
fn accepted(
    token: &UnverifiedToken<'_>,
    inbound: &Inbound,
    now: Timestamp,
) -> Result<(IssuerId, VerifiedToken), (Judgement, String)> {
    let denied = |why: &dyn core::fmt::Display| {
        (Judgement::Denied, format!("the inbound half of these files would deny it: {why}"))
    };
    let id = inbound.settings.issuer_index.find(token.claims());
    let issuer = id.and_then(|id| Some((id, inbound.settings.issuers.get(id.place())?)));
    let Some((id, issuer)) = issuer else {
        return Err(denied(&"its issuer is not one of the configured ones"));
    };
    let prescreened = issuer.rules.check(token, now).map_err(|error| denied(&error))?;
    let Some(keys) = inbound.keys.get(id.place()).and_then(Option::as_ref) else {
        let why = format!(
            "its claims are right; its signature was not checked, without the keys of {}",
            issuer.name
        );
        return Err((Judgement::Unknown, why));
    };
    let header = token.header();
    let mut last = None;
    for key in keys.candidates(header.algorithm, header.kid.as_deref()) {
        let admitted = issuer.rules.admits(token, key);
        match admitted.and_then(|()| token.verify(key, &RustCrypto)) {
            Ok(signed) => {
                let authentic = prescreened.signed(signed);
                let authentic = authentic.ok_or_else(|| denied(&"it is another token"))?;
                return VerifiedToken::new(&authentic)
                    .map(|verified| (id, verified))
                    .map_err(|error| denied(&error));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        None => denied(&format_args!("{} has no key that could have signed it", issuer.name)),
        Some(SignatureError::Mismatch) => denied(&format_args!("no key of {} signed it", issuer.name)),
        Some(error) => denied(&error),
    })
}

/// On which routes it is good enough.
fn routes(page: &mut Page, inbound: &Inbound, issuer: IssuerId, token: &VerifiedToken) {
    let (mut good, mut all) = (0_usize, 0_usize);
    for route in inbound.settings.routes.routes() {
        let Some(requirement) = route.rule.requirement() else { continue };
        all = all.saturating_add(1);
        if requirement.is_met(TokenFacts { issuer, claims: token.claims() }) {
            good = good.saturating_add(1);
        }
    }
    page.line(Mark::Open, &format!("of {all} routes that want a token, {good} would let it through"));
}

fn shown(value: &Json<'_>) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Number(number) => number.to_string(),
        Json::Array(items) => {
            items.iter().take(MAX_ITEMS).filter_map(Json::as_str).map(quoted).collect::<Vec<_>>().join(" ")
        }
        Json::Null | Json::Bool(_) | Json::Object(_) => "not a string".to_owned(),
    }
}

fn lines(page: Page) -> Vec<String> {
    page.finish(true).text.lines().map(str::to_owned).collect()
}

/// What tells for whom a token is good, and how long.
const CLAIMS: [&str; 5] = ["iss", "aud", "exp", "scope", "scp"];
/// How many values of a list are shown.
const MAX_ITEMS: usize = 20;
