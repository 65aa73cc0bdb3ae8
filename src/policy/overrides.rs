//! Headers by which frameworks behind us take another method or path than the request line's: what was judged would not
//! be what is done.

use std::rc::Rc;

use crate::base::{Headers, NameFilter, is_read_as};

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

    /// Guards those that take the place of something that matters, unless they are allowed by name.
    pub fn guarding(matters: impl Fn(Overridden) -> bool, allowed: &[&str]) -> Self {
        let guarded = Self::KNOWN.into_iter();
        let guarded = guarded.filter(|(name, overridden)| matters(*overridden) && !allowed.contains(name));
        Self::new(guarded.map(|(name, overridden)| (name.into(), overridden)))
    }

    /// Their names.
    pub fn filter(&self) -> NameFilter {
        self.filter
    }

    /// What the first of these headers that says something else than the request line takes the place of.
    pub fn found_in(&self, headers: &Headers) -> Option<Overridden> {
        // Most tables ask for neither, and need no walk through the headers.
        if self.names.is_empty() {
            return None;
        }
        headers.fields(self.filter).find_map(|(name, _)| self.overridden(name, headers))
    }

    /// What the headers of this name take the place of, if they say something else than the request line.
    pub fn overridden(&self, name: &[u8], headers: &Headers) -> Option<Overridden> {
        let overridden = self.overridden_by(name)?;
        let said = headers.first(match overridden {
            Overridden::Method => ":method",
            Overridden::Path => ":path",
        });
        let is_same = |name| headers.values(name).all(|value| Some(value) == said);
        if str::from_utf8(name).is_ok_and(is_same) { None } else { Some(overridden) }
    }

    /// Servers of the CGI kind take `X_HTTP_Method` for `x-http-method`.
    fn overridden_by(&self, name: &[u8]) -> Option<Overridden> {
        if !name.first().is_some_and(|first| matches!(first, b'x' | b'X')) {
            return None;
        }
        let mut candidates = self.names.iter().filter(|(ours, _)| ours.len() == name.len());
        candidates.find(|(ours, _)| is_read_as(name, ours)).map(|(_, overridden)| *overridden)
    }

    /// Those that frameworks are known to honour: Symfony, Laravel, Rails, Express' `method-override`, ASP.NET and
    /// OData services; and IIS, Symfony and Zend for paths.
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

    fn overridden(name: &str, value: &str) -> Option<Overridden> {
        let fields = [(":method", "POST"), (":path", "/orders"), ("x-request-id", "1"), (name, value)];
        let headers = fields.into_iter().collect();
        let overrides = Overrides::new(Overrides::KNOWN.map(|(name, kind)| (name.into(), kind)));
        let overridden = overrides.overridden(name.as_bytes(), &headers);
        assert_eq!(overrides.found_in(&headers), overridden, "{name}");
        overridden
    }

    #[test]
    fn a_header_that_takes_the_place_of_the_request_line_is_found_in_every_spelling() {
        for name in ["x-http-method-override", "X_HTTP_METHOD_OVERRIDE", "x_method-override", "x-http-method"]
        {
            assert_eq!(overridden(name, "DELETE"), Some(Overridden::Method), "{name}");
            assert_eq!(overridden(name, "POST"), None, "{name}");
        }
        for name in ["x-original-url", "x-rewrite-url", "x_rewrite_url"] {
            assert_eq!(overridden(name, "/admin"), Some(Overridden::Path), "{name}");
            assert_eq!(overridden(name, "/orders"), None, "{name}");
        }
        for name in ["x-http-methods", "y-http-method", "authorization", "x-original-uri"] {
            assert_eq!(overridden(name, "DELETE"), None, "{name}");
        }
    }
}
