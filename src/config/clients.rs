//! The list `outbound.clients`.

use core::time::Duration;
use std::rc::Rc;

use super::authentication::{AuthenticationMethod, SigningKeys};
use super::environment::Environment;
use super::reader::{Fields, Node, refuse_duplicates, refuse_repeated};
use super::{endpoints, inbound, requirements, values};
use crate::oauth::{Credentials, Grant, TokenRequest};
use crate::outbound::{Client, Endpoint, EndpointId, LifetimeRules, Obtain, Position};

/// What a client's settings depend on.
pub(super) struct ClientContext<'e> {
    pub(super) environment: &'e dyn Environment,
    /// `None` when it could not be read.
    pub(super) position: Option<Position>,
    pub(super) has_inbound: bool,
}

/// A client in so far as it could be read.
pub(super) struct ParsedClient<'a> {
    pub(super) node: Node<'a>,
    pub(super) name: Option<Rc<str>>,
    pub(super) endpoint: Option<Endpoint>,
    /// All of it, but for the place of its endpoint.
    pub(super) client: Option<Client>,
}

pub(super) fn read<'a>(node: &Node<'a>, context: &ClientContext<'_>) -> Option<Vec<ParsedClient<'a>>> {
    let mut keys = SigningKeys::default();
    let clients: Vec<_> =
        node.list(MAX_CLIENTS)?.into_iter().map(|item| parsed_client(item, context, &mut keys)).collect();
    let names = clients.iter().map(|client| (&client.node, client.name.as_ref()));
    refuse_repeated(names, ".name", "client name");
    Some(clients)
}

fn parsed_client<'a>(
    node: Node<'a>,
    context: &ClientContext<'_>,
    keys: &mut SigningKeys,
) -> ParsedClient<'a> {
    let fields = node.fields(&[
        "name",
        "token_endpoint",
        "discovery",
        "client_id",
        "authentication",
        "scopes",
        "audience",
        "resources",
        "parameters",
        "headers",
        "header",
        "renewal_margin",
        "default_lifetime",
        "obtain",
        "token_exchange",
        "token_types",
    ]);
    let Some(fields) = fields else { return ParsedClient { node, name: None, endpoint: None, client: None } };
    let name = fields.read("name", values::name);
    let (endpoint, issuer) = endpoints::read(&fields);
    let credentials = credentials(&fields, &issuer, context.environment, keys);
    let client = client(&fields, credentials, name.clone(), context);
    ParsedClient { node, name, endpoint, client }
}

fn client(
    fields: &Fields<'_>,
    credentials: Option<Credentials>,
    name: Option<Rc<str>>,
    context: &ClientContext<'_>,
) -> Option<Client> {
    let scopes = fields.or("scopes", Vec::new(), requirements::scopes);
    let audience = fields.maybe("audience", values::plain);
    let resources = fields.or("resources", Vec::new(), resources);
    let parameters = fields.or("parameters", Vec::new(), parameters);
    let headers = fields.or("headers", Vec::new(), headers);
    let token_types = fields.or("token_types", Vec::new(), token_types);
    let bearer = (Rc::from("authorization"), Rc::from("Bearer "));
    let header = fields.or("header", bearer, header);
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
    let margin = fields.maybe("renewal_margin", |node| node.duration(second, day));
    let assumed = fields.or("default_lifetime", DEFAULT_ASSUMED, |node| node.duration(second, day));
    let exchange = fields.optional("token_exchange");
    let obtain = fields.or("obtain", Obtain::AtStart, |node| {
        let obtain = node.word(&[("at_start", Obtain::AtStart), ("on_demand", Obtain::OnDemand)])?;
        if exchange.is_some() {
            return node.problem("`obtain` does not apply to a token exchange: leave it out");
        }
        Some(obtain)
    });
    let (grant, obtain, exchanged_tokens) = match exchange {
        None => (Some(Grant::ClientCredentials), obtain, Some(DEFAULT_EXCHANGED_TOKENS)),
        Some(node) => {
            let (grant, tokens) = exchange_of(&node, context).unzip();
            (grant, obtain.map(|_| Obtain::OnDemand), tokens)
        }
    };
    let (header, prefix) = header?;
    Some(Client {
        name: name?,
        endpoint: EndpointId(0),
        request: TokenRequest {
            credentials: credentials?,
            grant: grant?,
            scopes: scopes?.into(),
            audience: audience?,
            resources: resources?,
            parameters: parameters?,
            headers: headers?,
            token_types: token_types?,
        },
        header,
        prefix,
        lifetime: LifetimeRules { margin: margin?, assumed: assumed? },
        obtain: obtain?,
        exchanged_tokens: exchanged_tokens?,
    })
}

fn credentials(
    fields: &Fields<'_>,
    issuer: &endpoints::EndpointIssuer,
    environment: &dyn Environment,
    keys: &mut SigningKeys,
) -> Option<Credentials> {
    let method = fields.read("authentication", AuthenticationMethod::of);
    let needs_id = method.as_ref().is_some_and(|method| !method.is_set_by_cluster());
    let id = fields.optional("client_id");
    let client_id = match &id {
        Some(node) => values::plain(node).map(Some),
        None if needs_id => fields.required("client_id").and(None),
        None => Some(None),
    };
    let authentication = method.and_then(|method| method.read(id.as_ref(), issuer, keys, environment));
    Some(Credentials { client_id: client_id?, authentication: authentication? })
}

fn resources(node: &Node<'_>) -> Option<Vec<Rc<str>>> {
    node.distinct(MAX_RESOURCES, "resource", values::absolute_uri)
}

fn parameters(node: &Node<'_>) -> Option<Vec<(Rc<str>, Rc<str>)>> {
    // RFC 6749, appendix A.
    let is_name = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        (1..=64).contains(&name.len()) && name.bytes().all(allowed)
    };
    let parameter = |(name, node): (&str, Node<'_>)| {
        if !is_name(name) {
            return node.problem("expected a name of letters, digits, -, _ and ., at most 64");
        }
        if OWN_PARAMETERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return node.problem("this parameter is set by other fields: leave it out here");
        }
        Some((Rc::from(name), values::plain(&node)?))
    };
    let read: Vec<_> = node.members(MAX_PARAMETERS)?.into_iter().map(parameter).collect();
    read.into_iter().collect()
}

fn headers(node: &Node<'_>) -> Option<Vec<(Rc<str>, Rc<str>)>> {
    let members = node.members(MAX_HEADERS)?.into_iter();
    let read: Vec<_> = members.map(|(name, node)| (node.clone(), further_header(name, &node))).collect();
    refuse_duplicates(&read, "header", |(a, _), (b, _)| a == b);
    read.into_iter().map(|(_, header)| header).collect()
}

fn further_header(name: &str, node: &Node<'_>) -> Option<(Rc<str>, Rc<str>)> {
    let is_value = |text: &str| {
        text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim_ascii().len() == text.len()
    };
    if !values::is_header_name(name) {
        return node.problem(format_args!("expected {}", values::HEADER_NAME));
    }
    let name: Rc<str> = name.to_ascii_lowercase().into();
    let is_own = ["accept", "authorization", "user-agent"].contains(&&*name) || name.starts_with("x-envoy-");
    if is_own || values::controls_message(&name) {
        return node.problem("this header is set by the filter or by Envoy: leave it out");
    }
    let value =
        node.string_that("a value of visible ASCII characters, with spaces only between them", is_value)?;
    Some((name, value.into()))
}

fn token_types(node: &Node<'_>) -> Option<Vec<Rc<str>>> {
    let is_type = |text: &str| text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let read = |item: &Node<'_>| {
        let text = item.string_that("a type of visible ASCII characters, at most 128", is_type)?;
        if PROVED_TYPES.iter().any(|proved| proved.eq_ignore_ascii_case(text)) {
            return item.problem(
                "tokens of this type need a proof with each request, which the filter does not send",
            );
        }
        Some(Rc::from(text))
    };
    node.distinct_by(MAX_TOKEN_TYPES, "token type", read, |a: &Rc<str>, b| a.eq_ignore_ascii_case(b))
}

fn header(node: &Node<'_>) -> Option<(Rc<str>, Rc<str>)> {
    let fields = node.fields(&["name", "scheme"])?;
    let name = fields.read("name", |node| {
        let name = values::header_name(node)?;
        let is_for_credentials = ["authorization", "proxy-authorization"].contains(&&*name);
        if inbound::is_reserved(&name) && !is_for_credentials {
            return node.problem("this header controls the connection or the proxy: choose another");
        }
        Some(name)
    });
    let prefix = fields.or("scheme", "".into(), |node| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_prefix = |text: &str| text.len() <= 32 && text.bytes().all(allowed);
        node.string_that("a word of letters, digits and dashes like Bearer, at most 32 characters", is_prefix)
            .map(|word| Rc::from(format!("{word} ")))
    });
    let (name, prefix): (Rc<str>, Rc<str>) = (name?, prefix?);
    if prefix.is_empty() && name.ends_with("authorization") {
        return node.problem(format_args!("the header {name} needs a `scheme`, like Bearer"));
    }
    Some((name, prefix))
}

fn exchange_of(node: &Node<'_>, context: &ClientContext<'_>) -> Option<(Grant, usize)> {
    let fields = node.fields(&["subject_token_type", "requested_token_type", "tokens"])?;
    let subject = fields.or("subject_token_type", ACCESS_TOKEN.into(), values::absolute_uri);
    let requested = fields.maybe("requested_token_type", values::absolute_uri);
    let tokens = fields.or("tokens", DEFAULT_EXCHANGED_TOKENS, |node| node.integer(1, MAX_EXCHANGED_TOKENS));
    if context.position == Some(Position::Upstream) {
        return node.problem(
            "the caller's token is verified in the listener: exchange it there, with `position: downstream`",
        );
    }
    if !context.has_inbound {
        return node.problem("only a verified token is exchanged: configure the block `inbound`");
    }
    let grant = Grant::TokenExchange { subject_token_type: subject?, requested_token_type: requested? };
    Some((grant, tokens?))
}

/// RFC 8693 §3.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// A client for each service that an enterprise calls; the tokens of all have to fit one memory.
pub const MAX_CLIENTS: usize = 10_000;
/// A token for more services than this is a token for an audience that they share.
const MAX_RESOURCES: usize = 16;
/// A server has one word of its own for Bearer; a gateway before several may have a few.
const MAX_TOKEN_TYPES: usize = 8;
/// RFC 9449, and the drafts before it (OAuth 2.0 MAC tokens and proof of possession).
const PROVED_TYPES: [&str; 3] = ["DPoP", "PoP", "mac"];
/// Servers with parameters of their own have one or two.
const MAX_PARAMETERS: usize = 16;
/// A gateway before a token endpoint wants a key, and perhaps a tenant.
const MAX_HEADERS: usize = 16;
/// More callers at a time than one worker serves within a token's life.
const MAX_EXCHANGED_TOKENS: u64 = 100_000;
/// The callers of one service that are active within a token's life.
const DEFAULT_EXCHANGED_TOKENS: usize = 1_000;
/// A server that says nothing means an hour more often than not; five minutes cost it little and are rarely too long.
const DEFAULT_ASSUMED: Duration = Duration::from_secs(300);
/// What a token request consists of besides further parameters (RFC 6749, 7521, 8693, 8707).
const OWN_PARAMETERS: [&str; 13] = [
    "grant_type",
    "scope",
    "audience",
    "resource",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "subject_token",
    "subject_token_type",
    "requested_token_type",
    "actor_token",
    "actor_token_type",
];
