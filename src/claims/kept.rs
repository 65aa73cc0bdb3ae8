//! What is kept of a verified token's claims: the one place where that is decided.

use core::cell::Cell;
use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use super::audited::AskedAudit;
use super::rule::KeptClaim;
use crate::claims::{ClaimError, ClaimPath, ClaimRule, ForwardedClaim, RuleOutcome, ScopeSet, ScopeSyntax};
use crate::jose::{Json, Object};

/// All that the configuration asks of the claims of an issuer's tokens, compiled.
#[derive(Clone, Debug, Default)]
pub struct AskedClaims {
    /// The claims that scopes are read from.
    pub scopes_from: Vec<ClaimPath>,
    /// How they are written.
    pub scope_syntax: ScopeSyntax,
    /// The claims that may name the client: the first that is there does.
    pub client_from: Vec<ClaimPath>,
    /// The claims that the upstream gets as headers.
    pub forwarded: Rc<[ForwardedClaim]>,
    /// Whether anything asks for `sub`.
    pub subject: bool,
    /// What the audit record says of a token.
    pub audit: AskedAudit,
    /// The claims that the rules of requirements are about.
    pub ruled: Rc<[ClaimPath]>,
    /// How many rules these are.
    pub rules: usize,
}

/// The distinct rules that the requirements of a configuration have for single claims, and the claims that these are
/// about. Each rule has a place, under which a token remembers how it was answered.
#[derive(Clone, Debug, Default)]
pub struct AskedRules {
    claims: Vec<ClaimPath>,
    places: HashMap<ClaimPath, usize>,
    rules: HashMap<ClaimRule, Rc<AskedRule>>,
}

/// A rule, where its claim is kept, and where its answer is remembered. Made only by [`AskedRules::ask`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AskedRule {
    rule: ClaimRule,
    claim: usize,
    place: usize,
}

/// What was asked of one token's claims. No larger than a few times the token: 1,024 scopes at most, 1 KiB for each
/// header, and each claim that rules are about once.
#[derive(Clone, Debug)]
pub struct KeptClaims {
    pub(super) scopes: ScopeSet,
    pub(super) presenter: Presenter<Box<str>>,
    /// `None` too where nothing asks for it.
    pub(super) subject: Option<Box<str>>,
    /// In the order of [`AskedClaims::forwarded`]; `None` where the claim is absent or has no text.
    pub(super) forwarded: Box<[Option<Rc<str>>]>,
    /// The claims that rules are about and that are there, by their places among those.
    ruled: Box<[(usize, KeptClaim)]>,
    /// How rules have been answered, by their places: the lower byte of a word says which have been.
    answers: Box<[Cell<u16>]>,
}

/// Who presents a token, by its own word.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presenter<T> {
    /// A client that the issuer names.
    Client(T),
    /// No client is named, but a subject (RFC 7519 §4.1.2).
    Subject(T),
    /// Neither is.
    Unnamed,
}

impl<T: AsRef<str>> Presenter<T> {
    /// The client's name.
    pub(super) fn client(&self) -> Option<&str> {
        match self {
            Self::Client(name) => Some(name.as_ref()),
            Self::Subject(_) | Self::Unnamed => None,
        }
    }

    /// Any name.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Client(name) | Self::Subject(name) => Some(name.as_ref()),
            Self::Unnamed => None,
        }
    }
}

impl<T> Presenter<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Presenter<U> {
        match self {
            Self::Client(name) => Presenter::Client(change(name)),
            Self::Subject(name) => Presenter::Subject(change(name)),
            Self::Unnamed => Presenter::Unnamed,
        }
    }
}

impl<'c> Presenter<&'c str> {
    /// Named with the tenant of its issuer, if that has tenants: `<tenant>/<client>`. No tenant has a slash, so that no
    /// client of another one can be called the same.
    fn of_tenant(self, tenant: Option<&str>) -> Presenter<Cow<'c, str>> {
        self.map(|name| tenant.map_or(name.into(), |tenant| format!("{tenant}/{name}").into()))
    }
}

impl AskedClaims {
    /// Who presents a token with these claims, of this tenant of its issuer if that has tenants. The first claim of
    /// [`AskedClaims::client_from`] that is there names the client; where that is no string, or an empty one, there is
    /// no client, whatever the others say.
    pub(super) fn presenter<'c>(
        &self,
        claims: &'c Object<'_>,
        tenant: Option<&str>,
    ) -> Presenter<Cow<'c, str>> {
        let mut present = self.client_from.iter().filter_map(|path| path.find(claims));
        let client = present.find(|value| **value != Json::Null).and_then(Json::as_str);
        if let Some(client) = client.filter(|client| !client.is_empty()) {
            return Presenter::Client(client).of_tenant(tenant);
        }
        let subject = claims.get("sub").and_then(Json::as_str);
        subject.map_or(Presenter::Unnamed, Presenter::Subject).of_tenant(tenant)
    }

    /// Reads the claims of a token of this tenant of its issuer, if that has tenants, and forgets the rest of them.
    ///
    /// # Errors
    /// What is wrong with the claims that scopes are read from, or with one that names the client and is to be
    /// forwarded.
    pub fn read(&self, claims: &Object<'_>, tenant: Option<&str>) -> Result<KeptClaims, ClaimError> {
        let ruled = self.ruled.iter().enumerate();
        Ok(KeptClaims {
            scopes: ScopeSet::read(claims, &self.scopes_from, self.scope_syntax)?,
            presenter: self.presenter(claims, tenant).map(Into::into),
            subject: if self.subject {
                claims.get("sub").and_then(Json::as_str).map(Into::into)
            } else {
                None
            },
            forwarded: self.forwarded.iter().map(|claim| claim.text(claims)).collect::<Result<_, _>>()?,
            ruled: ruled.filter_map(|(place, path)| Some((place, KeptClaim::read(path, claims)?))).collect(),
            answers: vec![Cell::new(0); self.rules.div_ceil(RULES_PER_WORD)].into(),
        })
    }
}

impl AskedRules {
    /// The rule with its place: that of its equal, if there is one. `None` where there are [`AskedRules::MAX_RULES`]
    /// others already, or [`AskedRules::MAX_CLAIMS`] other claims.
    pub fn ask(&mut self, rule: ClaimRule) -> Option<Rc<AskedRule>> {
        if let Some(known) = self.rules.get(&rule) {
            return Some(Rc::clone(known));
        }
        let claim = match self.places.get(&rule.claim) {
            Some(place) => *place,
            None if self.claims.len() >= Self::MAX_CLAIMS => return None,
            None => {
                let place = self.claims.len();
                self.places.insert(rule.claim.clone(), place);
                self.claims.push(rule.claim.clone());
                place
            }
        };
        if self.rules.len() >= Self::MAX_RULES {
            return None;
        }
        let asked = Rc::new(AskedRule { rule: rule.clone(), claim, place: self.rules.len() });
        self.rules.insert(rule, Rc::clone(&asked));
        Some(asked)
    }

    /// The claims that these rules are about, in the order of their places.
    pub fn claims(&self) -> &[ClaimPath] {
        &self.claims
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Two bits each with every verified token: a kilobyte.
    pub const MAX_RULES: usize = 4096;
    /// Each is looked for in every token that is verified: 256 take about as long as its signature.
    pub const MAX_CLAIMS: usize = 256;
}

impl AskedRule {
    /// The rule itself.
    pub fn rule(&self) -> &ClaimRule {
        &self.rule
    }
}

impl KeptClaims {
    /// The scopes that the token carries.
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// The client that presents it, as its issuer names it, with its tenant in front if the issuer has tenants.
    pub fn client(&self) -> Option<&str> {
        self.presenter.client()
    }

    /// Whether the token meets a rule. It is held against the rule when that is asked for the first time.
    pub fn meets(&self, rule: &AskedRule) -> bool {
        let word = rule.place.checked_div(RULES_PER_WORD).and_then(|word| self.answers.get(word));
        let Some(word) = word else { return self.judge(rule) == RuleOutcome::Met };
        let bit =
            u32::try_from(rule.place.checked_rem(RULES_PER_WORD).unwrap_or_default()).unwrap_or_default();
        let (is_known, is_met) = (1_u16.rotate_left(bit), 0x100_u16.rotate_left(bit));
        if word.get() & is_known == 0 {
            let answer = if self.judge(rule) == RuleOutcome::Met { is_known | is_met } else { is_known };
            word.set(word.get() | answer);
        }
        word.get() & is_met != 0
    }

    /// How a rule is answered, in full.
    pub fn judge(&self, rule: &AskedRule) -> RuleOutcome {
        let place = self.ruled.binary_search_by_key(&rule.claim, |(place, _)| *place);
        let claim = place.ok().and_then(|place| self.ruled.get(place));
        rule.rule.judge(claim.map(|(_, claim)| claim))
    }

    /// How many bytes of memory they take, besides their own.
    pub(super) fn size(&self) -> usize {
        let texts = self.forwarded.iter().flatten().map(|text| text.len());
        let names = [self.presenter.name(), self.subject.as_deref()].into_iter().flatten().map(str::len);
        let ruled = self.ruled.iter().map(|(_, claim)| claim.size());
        let own = [
            self.scopes.size(),
            size_of_val(&*self.forwarded),
            size_of_val(&*self.ruled),
            size_of_val(&*self.answers),
        ];
        own.into_iter().chain(names).chain(texts).chain(ruled).fold(0, usize::saturating_add)
    }
}

/// A bit that says whether it has been answered, and one that says how.
const RULES_PER_WORD: usize = 8;
