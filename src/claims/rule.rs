//! Rules on single claims: what a requirement may ask of one, and how it is answered. A claim of a type that a rule
//! cannot be held against does not meet it, whatever the rule asks.

use std::rc::Rc;

use crate::claims::ClaimPath;
use crate::jose::{Json, Object};

/// What is asked of one claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimRule {
    /// The claim.
    pub claim: ClaimPath,
    /// What it is held against.
    pub test: ClaimTest,
}

/// What a claim is held against. Values are sorted, each once, at least one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimTest {
    /// It is one of these.
    OneOf(Box<[ClaimValue]>),
    /// It is a list that has at least one of these.
    ContainsAny(Box<[ClaimValue]>),
    /// It is one of these, or a list that has at least one of them: what `aud` may be (RFC 7519 §4.1.3).
    Among(Box<[ClaimValue]>),
    /// It is a string that begins with this.
    Prefix(Rc<str>),
    /// It is there, and not `null`.
    Exists,
    /// It is not there, or `null`.
    Absent,
}

/// A value that a claim may be compared with. Values of two types are never equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimValue {
    /// `true` or `false`.
    Bool(bool),
    /// A number that is written as a whole one.
    Number(i64),
    /// A string.
    Text(Box<str>),
}

/// How a rule is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleOutcome {
    /// The claim meets it.
    Met,
    /// The claim is of a type that the rule can be held against, and does not meet it.
    Unmet,
    /// The claim is not there, or `null`, and the rule asks for one.
    Missing,
    /// The rule cannot be held against a claim of this type.
    WrongType,
}

/// A claim that rules ask about, as it is kept with a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeptClaim {
    /// One value.
    Value(ClaimValue),
    /// A list: its values, sorted; what is no value, a list in a list for one, is left out.
    List(Box<[ClaimValue]>),
    /// An object, or a number that is not whole: no more is known of it than that it is there.
    Other,
    /// What should be an object on the way to the claim is none: whether the claim is there cannot be said.
    NoPath,
}

impl ClaimRule {
    /// Holds a claim against the rule; `None` is one that is not there.
    pub(super) fn judge(&self, claim: Option<&KeptClaim>) -> RuleOutcome {
        let met = |is_met| if is_met { RuleOutcome::Met } else { RuleOutcome::Unmet };
        let any = |values: &[ClaimValue], list: &[ClaimValue]| {
            list.iter().any(|value| values.binary_search(value).is_ok())
        };
        match (&self.test, claim) {
            (_, Some(KeptClaim::NoPath)) => RuleOutcome::WrongType,
            (ClaimTest::Absent, claim) => met(claim.is_none()),
            (_, None) => RuleOutcome::Missing,
            (ClaimTest::Exists, Some(_)) => RuleOutcome::Met,
            (ClaimTest::OneOf(values) | ClaimTest::Among(values), Some(KeptClaim::Value(value))) => {
                met(values.binary_search(value).is_ok())
            }
            (ClaimTest::ContainsAny(values) | ClaimTest::Among(values), Some(KeptClaim::List(list))) => {
                met(any(values, list))
            }
            (ClaimTest::Prefix(prefix), Some(KeptClaim::Value(ClaimValue::Text(text)))) => {
                met(text.starts_with(&**prefix))
            }
            (
                ClaimTest::OneOf(_) | ClaimTest::ContainsAny(_) | ClaimTest::Among(_) | ClaimTest::Prefix(_),
                Some(_),
            ) => RuleOutcome::WrongType,
        }
    }
}

impl ClaimTest {
    /// The values in the order in which they are looked for.
    pub fn sorted(mut values: Vec<ClaimValue>) -> Box<[ClaimValue]> {
        values.sort_unstable();
        values.dedup();
        values.into()
    }
}

impl ClaimValue {
    fn read(value: &Json<'_>) -> Option<Self> {
        match value {
            Json::Bool(value) => Some(Self::Bool(*value)),
            // Other numbers have lost digits on the way.
            Json::Number(number) => number.as_i64().map(Self::Number),
            Json::String(text) => Some(Self::Text((**text).into())),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }

    /// How many bytes of memory it takes besides its own; the allocator's are estimated.
    fn size(&self) -> usize {
        match self {
            Self::Bool(_) | Self::Number(_) => 0,
            Self::Text(text) => text.len().saturating_add(ALLOCATION),
        }
    }
}

impl KeptClaim {
    /// What a claim is kept as; `None` where it is not there.
    pub(super) fn read(path: &ClaimPath, claims: &Object<'_>) -> Option<Self> {
        Some(match path.look(claims) {
            Err(_) => Self::NoPath,
            Ok(None | Some(Json::Null)) => return None,
            Ok(Some(Json::Array(items))) => {
                Self::List(ClaimTest::sorted(items.iter().filter_map(ClaimValue::read).collect()))
            }
            Ok(Some(value)) => ClaimValue::read(value).map_or(Self::Other, Self::Value),
        })
    }

    /// How many bytes of memory it takes besides its own.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Value(value) => value.size(),
            Self::List(values) => {
                let texts = values.iter().map(ClaimValue::size).fold(0, usize::saturating_add);
                size_of_val(&**values).saturating_add(texts)
            }
            Self::Other | Self::NoPath => 0,
        }
    }
}

/// What allocators take for their own account, about.
const ALLOCATION: usize = 8;
