/// Whether some server takes this header name for ours, which is lower case and has no underscore: one of the CGI kind
/// takes `X_User` for `x-user`.
pub(crate) fn is_read_as(name: &[u8], ours: &str) -> bool {
    let as_servers_read_it =
        |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.len() == ours.len() && name.iter().map(as_servers_read_it).eq(ours.bytes())
}
