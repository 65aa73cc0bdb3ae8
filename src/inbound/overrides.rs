//! Headers by which frameworks behind us take another method or path than the request line's: what was judged would not be what is done.

use std::rc::Rc;

use super::denial::Denial;
use super::protected_headers::is_read_as;
use crate::base::{NameFilter, RequestHead};

/// The headers that a rule could be escaped by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    names: Vec<(Rc<str>, Overridden)>,
    filter: NameFilter,
}

/// What a header takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overridden {
    /// `:method`.
    Method,
    /// `:path`.
    Path,
}

impl Overrides {
    /// Guards these names, each one of [`Overrides::KNOWN`].
    pub fn new(names: impl IntoIterator<Item = (Rc<str>, Overridden)>) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        let filter = names.iter().fold(NameFilter::default(), |filter, (name, _)| filter.with(name));
        Self { names, filter }
    }

    /// Their names.
    pub fn filter(&self) -> NameFilter {
        self.filter
    }

    /// Why a request that has a header of this name is denied: it says something else than the request line.
    pub(super) fn denial(&self, name: &[u8], head: &RequestHead) -> Option<Denial> {
        let (field, denial) = match self.overridden_by(name)? {
            Overridden::Method => (":method", Denial::MethodOverridden),
            Overridden::Path => (":path", Denial::PathOverridden),
        };
        let said = head.headers.first(field);
        let is_same = |name| head.headers.values(name).all(|value| Some(value) == said);
        if str::from_utf8(name).is_ok_and(is_same) { None } else { Some(denial) }
    }

    /// Servers of the CGI kind take `X_HTTP_Method` for `x-http-method`.
    fn overridden_by(&self, name: &[u8]) -> Option<Overridden> {
        if !name.first().is_some_and(|first| matches!(first, b'x' | b'X')) {
            return None;
        }
        let mut candidates = self.names.iter().filter(|(ours, _)| ours.len() == name.len());
        candidates.find(|(ours, _)| is_read_as(name, ours)).map(|(_, overridden)| *overridden)
    }

    /// Those that frameworks are known to honour: Symfony, Laravel, Rails, Express' `method-override`, ASP.NET and OData services; and IIS,
    /// Symfony and Zend for paths.
    pub const KNOWN: [(&'static str, Overridden); 5] = [
        ("x-http-method-override", Overridden::Method),
        ("x-method-override", Overridden::Method),
        ("x-http-method", Overridden::Method),
        ("x-original-url", Overridden::Path),
        ("x-rewrite-url", Overridden::Path),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(name: &str, value: &str) -> Option<Denial> {
        let fields = [(":method", "POST"), (":path", "/orders"), ("x-request-id", "1"), (name, value)];
        let head = RequestHead { headers: fields.into_iter().collect(), ..RequestHead::default() };
        Overrides::new(Overrides::KNOWN.map(|(name, kind)| (name.into(), kind)))
            .denial(name.as_bytes(), &head)
    }

    #[test]
    fn a_header_that_takes_the_place_of_the_request_line_is_denied_in_every_spelling() {
        for name in ["x-http-method-override", "X_HTTP_METHOD_OVERRIDE", "x_method-override", "x-http-method"]
        {
            assert_eq!(denial(name, "DELETE"), Some(Denial::MethodOverridden), "{name}");
            assert_eq!(denial(name, "POST"), None, "{name}");
        }
        for name in ["x-original-url", "x-rewrite-url", "x_rewrite_url"] {
            assert_eq!(denial(name, "/admin"), Some(Denial::PathOverridden), "{name}");
            assert_eq!(denial(name, "/orders"), None, "{name}");
        }
        for name in ["x-http-methods", "y-http-method", "authorization", "x-original-uri"] {
            assert_eq!(denial(name, "DELETE"), None, "{name}");
        }
    }
}
