//! What concerns the messages of MCP endpoints: the block `inbound.mcp`, and `mcp` in a route's match.

use std::rc::Rc;

use super::reader::{Fields, Node};
use crate::inbound::{McpSettings, OlderVersions};
use crate::policy::{MESSAGE_METHOD, McpCall, McpPattern, is_normal_uri};

/// Reads the block `mcp`; `has_routes` says whether some route matches messages, if that is known.
pub(super) fn settings(node: &Node<'_>, has_routes: Option<bool>) -> Option<McpSettings> {
    let fields = node.fields(&["verify_body", "older_versions", "max_body"])?;
    let verifies_body = fields.or("verify_body", DEFAULT.verifies_body, Node::boolean);
    let older_versions = fields.or("older_versions", DEFAULT.older_versions, |node| {
        node.word(&[("by_body", OlderVersions::ByBody), ("deny", OlderVersions::Deny)])
    });
    let max_body = fields.or("max_body", DEFAULT.max_body, |node| node.integer(MIN_BODY, MAX_BODY));
    let settings =
        McpSettings { verifies_body: verifies_body?, older_versions: older_versions?, max_body: max_body? };
    if has_routes == Some(false) {
        return node.problem("no route has `mcp` in its match: leave this out");
    }
    if !settings.reads_bodies() && fields.optional("max_body").is_some() {
        return node.below(".max_body").problem("no body is read: leave it out");
    }
    Some(settings)
}

/// Reads `mcp` beside the other members of `match`.
pub(super) fn pattern(fields: &Fields<'_>, methods: Option<&[Rc<str>]>) -> Option<Option<McpPattern>> {
    fields.maybe("mcp", |node| {
        let members = node.fields(&["methods", "names"])?;
        let is_method =
            |text: &str| text.len() <= MAX_METHOD_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        let mcp_methods = members.read("methods", |node| {
            node.distinct(MAX_METHODS, "method", |item| {
                item.string_that("a method like tools/call", is_method).map(Rc::<str>::from)
            })
        });
        let by_uri = mcp_methods.iter().flatten().any(|method| McpCall::names_resource(method));
        let names = members.or("names", Vec::new(), |node| {
            node.distinct(MAX_NAMES, "name", |item| {
                let name: Rc<str> = item.string()?.into();
                if by_uri && !is_normal_uri(&name) {
                    return item.problem("a resource is named by its URI, in normal form: see docs/mcp.md");
                }
                Some(name)
            })
        });
        let (mcp_methods, names) = (mcp_methods?, names?);
        if !names.is_empty() && !mcp_methods.iter().all(|method| McpCall::named_by(method).is_some()) {
            return node.below(".names").problem(
                "only tools/call, prompts/get, resources/read, resources/subscribe and resources/unsubscribe have \
                 names",
            );
        }
        if methods.is_some_and(|methods| methods.iter().any(|method| **method != *MESSAGE_METHOD)) {
            return node.problem("messages come by POST alone: leave `methods` out");
        }
        Some(McpPattern { methods: mcp_methods, names })
    })
}

/// Most messages take less than 4 KiB; what a tool is given may be a page of text.
pub(super) const DEFAULT: McpSettings =
    McpSettings { verifies_body: true, older_versions: OlderVersions::ByBody, max_body: 65_536 };
/// Less than this, and messages that every client sends are too large.
const MIN_BODY: u64 = 1024;
/// What Envoy keeps of a body by default. A message of this size takes a worker some milliseconds.
const MAX_BODY: u64 = 1_048_576;
/// A version has some thirty.
const MAX_METHODS: usize = 64;
/// As long as any in use, and some.
const MAX_METHOD_BYTES: usize = 128;
/// The tools that one route is for.
const MAX_NAMES: usize = 256;
