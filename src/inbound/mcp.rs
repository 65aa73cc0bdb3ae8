//! Which route a message of an MCP endpoint meets. From protocol version 2026-07-28 on its headers say what it asks
//! for; before that its body alone does.
//!
//! A client may say any version. So the body counts unless the operator says that the server holds the headers against
//! it, as that version demands of servers: one that knows no such headers would do what the body says.

use super::denial::Denial;
use super::mcp_body::{McpBodyError, McpMessage, McpMessages};
use super::mcp_headers::{self, HeaderCall, McpHeaderError, is_json, is_new, length};
use crate::base::{ContentCoding, RequestBody, RequestHead};
use crate::policy::{MESSAGE_METHOD, McpCall, McpRules, RouteId};

/// How messages are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McpSettings {
    /// Whether the headers of new versions are held against the body.
    pub verifies_body: bool,
    /// What becomes of messages of older versions.
    pub older_versions: OlderVersions,
    /// The largest body that is read, in bytes.
    pub max_body: usize,
}

/// What becomes of messages of versions before 2026-07-28, or of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OlderVersions {
    /// They are judged by their body.
    ByBody,
    /// They are denied.
    Deny,
}

/// Why a message has no route.
pub(super) enum Unrouted {
    /// It is denied.
    Denied(Denial),
    /// Its body has to come first. The route is the one that its headers name, or else the base route.
    NeedsBody(RouteId),
}

impl<D: Into<Denial>> From<D> for Unrouted {
    fn from(denial: D) -> Self {
        Self::Denied(denial.into())
    }
}

impl McpSettings {
    /// The headers that count. What a server takes for one of them may not be there.
    pub const HEADERS: [&'static str; 3] = mcp_headers::HEADERS;

    /// Whether bodies may have to be read.
    pub fn reads_bodies(&self) -> bool {
        self.verifies_body || self.older_versions == OlderVersions::ByBody
    }

    /// The route of a request that matches a base route with rules.
    pub(super) fn route(
        &self,
        rules: &McpRules,
        base: RouteId,
        head: &RequestHead,
    ) -> Result<RouteId, Unrouted> {
        // Other methods carry no message.
        if head.headers.first(":method") != Some(MESSAGE_METHOD.as_bytes()) {
            return Ok(base);
        }
        let of = |call: Option<McpCall<'_>>| match call {
            Some(call) => rules.find(call).map(|route| route.unwrap_or(base)),
            None => Ok(base),
        };
        if is_new(&head.headers)? {
            let said = HeaderCall::read(&head.headers)?;
            if self.verifies_body {
                let named = of(Some(said.call()))?;
                return match McpMessages::parse(self.body(head, named)?)? {
                    McpMessages::One(message)
                        if message.call().is_some_and(|call| said.agrees_with(call)) =>
                    {
                        Ok(of(message.call())?)
                    }
                    McpMessages::One(_) | McpMessages::Batch(_) => Err(Denial::McpHeaderMismatch.into()),
                };
            }
            // The version asks for no name here, but the routes do.
            if said.call().name.is_none() && rules.has_names(said.call().method) {
                return Err(McpHeaderError::Name.into());
            }
            return Ok(of(Some(said.call()))?);
        }
        if self.older_versions == OlderVersions::Deny {
            return Err(Denial::McpVersion.into());
        }
        match McpMessages::parse(self.body(head, base)?)? {
            McpMessages::One(message) => Ok(of(message.call())?),
            McpMessages::Batch(messages) => {
                let mut routes = messages.iter().map(|message| of(McpMessage::call(message)));
                let first = routes.next().ok_or(McpBodyError::NotAMessage)??;
                for route in routes {
                    if route? != first {
                        return Err(McpBodyError::MixedBatch.into());
                    }
                }
                Ok(first)
            }
        }
    }

    /// The body, once it is there. What its headers say is looked at before.
    fn body<'a>(&self, head: &'a RequestHead, named: RouteId) -> Result<&'a [u8], Unrouted> {
        if !head.has_body {
            return Err(McpBodyError::Missing.into());
        }
        if !is_json(&head.headers) {
            return Err(McpBodyError::ContentType.into());
        }
        if ContentCoding::of(&head.headers).is_some() {
            return Err(McpBodyError::ContentCoding.into());
        }
        let too_large = || Denial::BodyTooLarge { most: self.max_body }.into();
        match &head.body {
            Some(RequestBody::Whole(body)) if body.len() <= self.max_body => Ok(body),
            Some(RequestBody::Whole(_) | RequestBody::TooLarge) => Err(too_large()),
            None if length(&head.headers).is_some_and(|length| length > self.max_body) => Err(too_large()),
            None => Err(Unrouted::NeedsBody(named)),
        }
    }
}
