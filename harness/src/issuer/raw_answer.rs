//! An answer that a test wrote out.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

/// An answer as it is to be, whatever was asked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "RawAnswerJson")]
pub struct RawAnswer {
    /// The status.
    pub status: u16,
    /// The headers. One that HTTP cannot carry is left out.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The same in the JSON of the admin endpoint.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswerJson {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

impl RawAnswer {
    /// An answer without headers.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// An answer in JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, body.to_string()).content_type("application/json")
    }

    /// Sets what the body is said to be.
    pub fn content_type(self, media_type: &str) -> Self {
        self.header("content-type", media_type)
    }

    /// Adds a header; the same name again repeats it.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

impl From<RawAnswerJson> for RawAnswer {
    fn from(written: RawAnswerJson) -> Self {
        let answer = Self { status: written.status, headers: written.headers, body: written.body.into() };
        match written.content_type {
            Some(media_type) => answer.content_type(&media_type),
            None => answer,
        }
    }
}

fn ok() -> u16 {
    200
}
