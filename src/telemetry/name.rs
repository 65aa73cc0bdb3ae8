//! Names of metrics with their labels, in the format that Istio's proxies read out of the box (`tag=.=value;.;…name`)
//! and that the `stats_tags` of our `envoy.yaml` read the same way.

use core::hash::{Hash, Hasher};
use std::rc::Rc;

use crate::policy::IssuerId;

/// `labels` are of the configuration's names and of our own, so none holds a separator.
pub(super) fn name(metric: &str, labels: &[(&str, &str)]) -> Rc<str> {
    let mut name = String::new();
    for (label, value) in labels {
        name.extend([label, "=.=", value, ";.;"]);
    }
    name.push_str(metric);
    name.into()
}

/// A label whose values the configuration gives: the place of a name, or one of two values of our own. One number, since
/// it is part of what each request is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Label(u32);

/// A label's value of our own, told apart by where its text stands: each request is counted, and texts take longer to
/// compare. One that stands at two places has two counters of one name, which the host adds up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word(pub(super) &'static str);

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }
}

impl Eq for Word {}

impl Hash for Word {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_ptr().hash(state);
    }
}

impl Label {
    /// There is none.
    pub(super) const NONE: Self = Self(u32::MAX);
    /// There are too many series to tell this one apart.
    pub(super) const OTHER: Self = Self(u32::MAX - 1);

    /// The name at this place. No list of names is so long that it reached the other two.
    pub(super) fn at(place: u32) -> Self {
        Self(place)
    }

    pub(super) fn text(self, names: &[Rc<str>]) -> &str {
        let Self(place) = self;
        if self == Self::NONE {
            return "none";
        }
        usize::try_from(place).ok().and_then(|place| names.get(place)).map_or("other", |name| name)
    }
}

pub(super) fn of_issuer(IssuerId(place): IssuerId) -> Label {
    Label::at(u32::from(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_first_in_istios_format() {
        let name = name("attache_decisions_total", &[("route", "read-order"), ("reason", "expired")]);
        assert_eq!(&*name, "route=.=read-order;.;reason=.=expired;.;attache_decisions_total");
    }
}
