//! Names of metrics with their labels, in the format that Istio's proxies read out of the box (`tag=.=value;.;…name`)
//! and that the `stats_tags` of our `envoy.yaml` read the same way.

use std::rc::Rc;

/// `labels` are of the configuration's names and of our own, so none holds a separator.
pub(super) fn name(metric: &str, labels: &[(&str, &str)]) -> Rc<str> {
    let mut name = String::new();
    for (label, value) in labels {
        name.extend([label, "=.=", value, ";.;"]);
    }
    name.push_str(metric);
    name.into()
}

/// A label whose values the configuration gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Label {
    None,
    /// There are too many series to tell this one apart.
    Other,
    /// The name at this place.
    At(u32),
}

impl Label {
    pub(super) fn text(self, names: &[Rc<str>]) -> &str {
        match self {
            Self::None => "none",
            Self::Other => "other",
            Self::At(place) => {
                usize::try_from(place).ok().and_then(|place| names.get(place)).map_or("other", |name| name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_first_in_istios_format() {
        let name = name("attache_decisions", &[("route", "read-order"), ("reason", "expired")]);
        assert_eq!(&*name, "route=.=read-order;.;reason=.=expired;.;attache_decisions");
    }
}
