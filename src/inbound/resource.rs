//! The metadata document of the protected resource (RFC 9728). Built from the configuration alone, never from the
//! request's Host, so that no client can point another at an authorization server of its choice.

use std::rc::Rc;

use crate::base::{RequestHead, Response};

/// The protected resource, and its metadata document ready to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    metadata_url: Rc<str>,
    metadata_path: Rc<str>,
    document: Rc<str>,
}

impl Resource {
    /// Describes the resource `identifier`, an https or http URL without query and fragment, of these issuers and
    /// scopes, which takes tokens by these methods (RFC 9728 §2: `header`, `query`). `url` is the identifier parsed.
    pub fn new(
        identifier: &str,
        url: &url::Url,
        authorization_servers: &[Rc<str>],
        scopes: &[Rc<str>],
        bearer_methods: &[&str],
        documentation: Option<&str>,
    ) -> Self {
        // RFC 9728 §3.1: the well-known part goes between host and path; only the slash that follows the host is
        // removed.
        let path = if url.path() == "/" { "" } else { url.path() };
        let metadata_path = format!("/.well-known/oauth-protected-resource{path}");
        let origin = url.origin().ascii_serialization();
        let texts = |list: &[Rc<str>]| list.iter().map(|text| text.to_string()).collect::<Vec<_>>();
        let mut document = serde_json::json!({
            "resource": identifier,
            "authorization_servers": texts(authorization_servers),
            "bearer_methods_supported": bearer_methods,
        });
        if let Some(members) = document.as_object_mut() {
            if !scopes.is_empty() {
                members.insert("scopes_supported".to_owned(), serde_json::json!(texts(scopes)));
            }
            if let Some(documentation) = documentation {
                members.insert("resource_documentation".to_owned(), serde_json::json!(documentation));
            }
        }
        Self {
            metadata_url: format!("{origin}{metadata_path}").into(),
            metadata_path: metadata_path.into(),
            document: document.to_string().into(),
        }
    }

    /// Where the document is, for challenges (RFC 9728 §5.1).
    pub fn metadata_url(&self) -> &str {
        &self.metadata_url
    }

    /// The document, if that is what is asked for. It needs no token.
    pub fn serve(&self, head: &RequestHead) -> Option<Response> {
        let path = head.headers.first(":path")?;
        let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
        if path.get(..end)? != self.metadata_path.as_bytes() {
            return None;
        }
        let body = match head.headers.first(":method")? {
            b"GET" => self.document.to_string(),
            b"HEAD" => String::new(),
            _ => return None,
        };
        Some(Response {
            status: 200,
            details: "resource_metadata",
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("cache-control", "public, max-age=3600".to_owned()),
            ],
            body,
            grpc_status: None,
        })
    }
}
