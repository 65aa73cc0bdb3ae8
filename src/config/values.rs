//! The small languages inside strings: names, header names, claim paths, URLs.

use std::rc::Rc;

use super::environment::Environment;
use super::reader::{Node, printable};
use crate::base::Secret;
use crate::claims::{ClaimPath, is_scope_token};
use crate::oauth::parse_url;
use crate::policy::Mode;

/// A name that labels metrics: `[a-z0-9_-]{1,64}`, and none that metrics use for something else.
pub(super) fn name(node: &Node<'_>) -> Option<Rc<str>> {
    node.string_that(NAME, is_name).and_then(|text| unreserved(node, text))
}

/// The same of the name of a member, which stands at `node`.
pub(super) fn member_name(node: &Node<'_>, text: &str) -> Option<Rc<str>> {
    if is_name(text) { unreserved(node, text) } else { node.problem(format_args!("expected {NAME}")) }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
}

fn unreserved(node: &Node<'_>, text: &str) -> Option<Rc<str>> {
    if ["default", "none", "other"].contains(&text) {
        return node.problem(format_args!("the name `{text}` is reserved for metrics: choose another"));
    }
    Some(text.into())
}

/// Whether denials deny.
pub(super) fn mode(node: &Node<'_>) -> Option<Mode> {
    node.word(&[("enforce", Mode::Enforce), ("report_only", Mode::ReportOnly)])
}

/// A header's name, in lower case.
pub(super) fn header_name(node: &Node<'_>) -> Option<Rc<str>> {
    let text = node.string_that(HEADER_NAME, is_header_name)?;
    Some(text.to_ascii_lowercase().into())
}

/// Underscores are refused: servers take them for dashes.
pub(super) fn is_header_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
}

/// Whether a header is about the message or the connection: what sets it is not the configuration.
pub(super) fn controls_message(header: &str) -> bool {
    MESSAGE_HEADERS.contains(&header)
}

/// A string that is shown as it is: it has no control characters.
pub(super) fn plain(node: &Node<'_>) -> Option<Rc<str>> {
    node.string_that("a string without control characters", |text| !text.chars().any(char::is_control))
        .map(Rc::from)
}

/// What `iss` says.
pub(super) fn issuer<'a>(node: &Node<'a>) -> Option<&'a str> {
    node.string_that("an issuer of visible ASCII characters", |text| {
        text.bytes().all(|b| b.is_ascii_graphic())
    })
}

/// An absolute URI of any scheme, without fragment (RFC 8707 §2).
pub(super) fn absolute_uri(node: &Node<'_>) -> Option<Rc<str>> {
    node.string_that("an absolute URI of visible ASCII characters, without fragment", |text| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        is_plain && parse_url(text).is_some()
    })
    .map(Rc::from)
}

/// A scope (RFC 6749 §3.3).
pub(super) fn scope(node: &Node<'_>) -> Option<Rc<str>> {
    node.string_that(
        "a scope: visible characters without space, quote and backslash, at most 256",
        is_scope_token,
    )
    .map(Rc::from)
}

/// A claim's name, or the list of names that leads to it.
pub(super) fn claim_path(node: &Node<'_>) -> Option<ClaimPath> {
    let names: Vec<&str> = if node.is_list() {
        let names = node.each(ClaimPath::MAX_NAMES, Node::string)?;
        names.into_iter().map(|(_, name)| name).collect::<Option<_>>()?
    } else {
        vec![node.string()?]
    };
    ClaimPath::new(&names).or_else(|| node.problem("expected a claim's name or a list of names"))
}

/// A string that may stand in a quoted string of a challenge as it is.
pub(super) fn quotable(node: &Node<'_>) -> Option<Rc<str>> {
    let allowed = |byte: u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    node.string_that("visible ASCII without quotes and backslashes, at most 128 characters", |text| {
        text.len() <= 128 && text.bytes().all(allowed)
    })
    .map(Rc::from)
}

/// An absolute http or https URL without user, password and fragment, of visible ASCII.
pub(super) fn http_url(node: &Node<'_>) -> Option<url::Url> {
    let text = node.string_that("a URL of visible ASCII characters without quotes", |text| {
        text.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'))
    })?;
    let Some(url) = parse_url(text) else { return node.problem("expected a URL like https://host/path") };
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() || !is_plain {
        return node.problem("expected an http or https URL without user, password and fragment");
    }
    Some(url)
}

/// The name of a variable: `{ env: NAME }`.
pub(super) fn env<'a>(node: &Node<'a>) -> Option<Node<'a>> {
    node.fields(&["env"])?.required("env")
}

/// What the environment variable that is named here holds.
pub(super) fn variable(node: &Node<'_>, environment: &dyn Environment) -> Option<Secret> {
    let name = node.string()?;
    match environment.variable(name) {
        Some(text) => Some(Secret::new(text)),
        None => node.problem(format_args!(
            "the environment variable {} is not set: pass it to the VM, or export it for attachectl",
            printable(name)
        )),
    }
}

/// The secret in the environment variable that is named here: base64url without padding.
pub(super) fn secret(node: &Node<'_>, environment: &dyn Environment) -> Option<Secret> {
    use base64ct::Encoding as _;
    let text = variable(node, environment)?;
    let decoded = str::from_utf8(text.expose()).ok().map(base64ct::Base64UrlUnpadded::decode_vec);
    match decoded {
        Some(Ok(secret)) => Some(Secret::new(secret)),
        Some(Err(_)) | None => node.problem("the variable does not hold base64url without padding"),
    }
}

/// The secret in the environment variable that is named here, as it stands there, but for the end of a line that files
/// have.
pub(super) fn client_secret(node: &Node<'_>, environment: &dyn Environment) -> Option<Secret> {
    let variable = variable(node, environment)?;
    let text = str::from_utf8(variable.expose()).unwrap_or_default();
    let text = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if text.is_empty() {
        return node.problem("the variable is empty");
    }
    if text.len() > MAX_CLIENT_SECRET_BYTES {
        return node.problem(format_args!("the variable holds more than {MAX_CLIENT_SECRET_BYTES} bytes"));
    }
    if text.chars().any(char::is_control) {
        return node.problem("the variable holds control characters: a secret is one line of text");
    }
    Some(Secret::new(text))
}

/// What a name is.
const NAME: &str = "a name of a-z, 0-9, _ and -, at most 64 characters";
/// What a header name is.
pub(super) const HEADER_NAME: &str = "a header name of letters, digits and dashes, at most 64 characters";
/// Servers make secrets of 32 to 64 characters; those that are tokens themselves have up to two thousand.
const MAX_CLIENT_SECRET_BYTES: usize = 4096;
const MESSAGE_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
