//! Headers that name others as ending at the next hop (RFC 9110 §7.6.1): a server that heeds them drops what they name.

/// `connection`, and what some clients and servers use in its place.
pub(crate) const CONNECTION_HEADERS: [&str; 2] = ["connection", "proxy-connection"];

/// Whether a header of this name names others.
pub(crate) fn is_connection_header(name: &[u8]) -> bool {
    CONNECTION_HEADERS.iter().any(|one| one.as_bytes() == name)
}

/// The names that such a header's value holds, beside options like `close` that name none.
pub(crate) fn connection_options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}
