//! How a cluster of Envoy's connects: in plain text, or by which TLS.

use crate::reading::Place;

/// How a cluster connects.
#[derive(Debug)]
pub(crate) enum Transport<'a> {
    /// Without TLS, at least to some of its endpoints.
    Plain,
    /// With TLS; each context.
    Tls(Vec<Place<'a>>),
    /// By a transport socket that is not known here.
    Other,
}

/// What a TLS context checks of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verification {
    /// Whether Envoy's own validator checks it, so that the next two say all.
    pub(crate) is_known: bool,
    /// Whether the certificate has to be signed by a CA that the operator trusts.
    pub(crate) has_authority: bool,
    /// Whether it has to be the server's own.
    pub(crate) has_name: bool,
    /// Whether the server is told which name is meant.
    pub(crate) has_server_name: bool,
}

/// How a cluster connects.
pub(crate) fn transport_of<'a>(cluster: &Place<'a>) -> Transport<'a> {
    let own = cluster.member("transport_socket");
    let matches: Vec<_> = cluster.list("transport_socket_matches").collect();
    let is_catch_all =
        |one: &Place<'_>| one.member("match").is_none_or(|criteria| criteria.node().members().is_empty());
    if own.is_none() && !matches.iter().any(is_catch_all) {
        return Transport::Plain;
    }
    let sockets = matches.iter().filter_map(|one| one.member("transport_socket")).chain(own);
    let mut contexts = Vec::new();
    let mut is_other = false;
    for socket in sockets {
        match transport_by(&socket) {
            Transport::Plain => return Transport::Plain,
            Transport::Tls(found) => contexts.extend(found),
            Transport::Other => is_other = true,
        }
    }
    if is_other { Transport::Other } else { Transport::Tls(contexts) }
}

fn transport_by<'a>(socket: &Place<'a>) -> Transport<'a> {
    let Some(config) = socket.member("typed_config") else {
        return if socket.text("name").contains("raw_buffer") { Transport::Plain } else { Transport::Other };
    };
    let kind = config.text("@type").rsplit('.').next().unwrap_or_default();
    let inner = config.member("transport_socket");
    match (kind, inner) {
        ("UpstreamTlsContext", _) => Transport::Tls(vec![config]),
        ("RawBuffer", _) => Transport::Plain,
        ("QuicUpstreamTransport", _) => config
            .member("upstream_tls_context")
            .map_or(Transport::Other, |context| Transport::Tls(vec![context])),
        // It puts something before another one.
        (_, Some(inner)) => transport_by(&inner),
        (_, None) => Transport::Other,
    }
}

impl Verification {
    /// What a context of a cluster checks; `secrets` are the bootstrap's own.
    pub(crate) fn of(context: &Place<'_>, cluster: &Place<'_>, secrets: &[Place<'_>]) -> Self {
        let common = context.member("common_tls_context");
        let common = common.as_ref();
        let combined = common.and_then(|common| common.member("combined_validation_context"));
        let by_secret = ["validation_context_sds_secret_config"];
        let secret = common.and_then(|common| common.at(&by_secret));
        let secret = secret.or_else(|| combined.as_ref()?.at(&by_secret));
        let named = secret.as_ref().map(|secret| secret.text("name")).unwrap_or_default();
        let is_elsewhere = secret.is_some_and(|secret| secret.member("sds_config").is_some());
        let stored = secrets.iter().find(|secret| secret.text("name") == named && !is_elsewhere);
        let validations: Vec<_> = [
            common.and_then(|common| common.member("validation_context")),
            combined.as_ref().and_then(|combined| combined.member("default_validation_context")),
            stored.and_then(|secret| secret.member("validation_context")),
        ]
        .into_iter()
        .flatten()
        .collect();
        let values = |name: &str| -> Vec<_> {
            validations.iter().filter_map(|validation| validation.member(name)).collect()
        };
        let has = |names: &[&str]| names.iter().any(|name| values(name).iter().any(Place::is_filled));
        let is_pinned = has(&["verify_certificate_hash", "verify_certificate_spki"]);
        let accepts_all =
            values("trust_chain_verification").iter().any(|value| value.is_value("ACCEPT_UNTRUSTED", 1));
        let is_provider = |name: &str| name.replace('_', "").to_ascii_lowercase().starts_with(PROVIDER);
        let has_provider = [common, combined.as_ref()]
            .into_iter()
            .flatten()
            .any(|fields| fields.members().any(|(name, _)| is_provider(name)));
        // Its message has no field.
        let has_system = values("system_root_certs").iter().any(|value| !value.is_null());
        let authorities = ["trusted_ca", "ca_certificate_provider_instance"];
        let has_authorities = has_system || has(&authorities) || is_elsewhere || has_provider;
        let options =
            http_options(cluster).and_then(|options| options.member("upstream_http_protocol_options"));
        let has_option = |name| options.as_ref().and_then(|options| options.flag(name)).unwrap_or_default();
        let flag = |name| context.flag(name).unwrap_or_default();
        let names = ["match_typed_subject_alt_names", "match_subject_alt_names"];
        let has_names = has(&names) || has_option("auto_san_validation") || flag("auto_sni_san_validation");
        Self {
            is_known: !has(&["custom_validator_config"]),
            // Envoy takes every certificate then, whatever else it should have.
            has_authority: !accepts_all && (is_pinned || has_authorities),
            has_name: !accepts_all && (is_pinned || is_elsewhere || has_names),
            has_server_name: !context.text("sni").is_empty()
                || flag("auto_host_sni")
                || has_option("auto_sni"),
        }
    }
}

/// Whether every address of a cluster that the file gives is on this host.
pub(crate) fn is_on_this_host(cluster: &Place<'_>) -> bool {
    let localities =
        cluster.member("load_assignment").into_iter().flat_map(|assignment| assignment.list("endpoints"));
    let endpoints = localities.flat_map(|locality| locality.list("lb_endpoints"));
    let mut addresses = endpoints.filter_map(|endpoint| endpoint.at(&["endpoint", "address"])).peekable();
    addresses.peek().is_some() && addresses.all(|address| is_local(&address))
}

/// Whether an address is one of this host alone.
pub(crate) fn is_local(address: &Place<'_>) -> bool {
    let Some(socket) = address.member("socket_address") else { return address.member("pipe").is_some() };
    let host = socket.text("address");
    host == "localhost" || host.parse().is_ok_and(|ip: core::net::IpAddr| ip.is_loopback())
}

/// What a cluster says of HTTP: its `HttpProtocolOptions`.
pub(crate) fn http_options<'a>(cluster: &Place<'a>) -> Option<Place<'a>> {
    cluster
        .at(&["typed_extension_protocol_options", "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"])
}

/// How fields begin that name a provider of what certificates are verified with.
const PROVIDER: &str = "validationcontextcertificateprovider";
