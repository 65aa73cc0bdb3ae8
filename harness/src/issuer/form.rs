//! The form of a token request.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;

use super::refusal::{Refusal, refuse};

/// A form body; parameters other than `resource` and `audience` may not be repeated (RFC 6749 §3.2).
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return refuse("invalid_request", "the body is not application/x-www-form-urlencoded");
        }
        Ok(Self::read(body))
    }

    /// Reads a body as a form, whatever it says it is.
    pub(super) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Refusal> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return refuse("invalid_request", "a parameter is repeated");
        }
        Ok(first)
    }

    /// Returns the parameter where it stands first.
    pub(super) fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(super) fn into_parameters(self) -> Vec<(String, String)> {
        self.0
    }
}
