use super::requirement::IssuerId;

/// Who is calling: a client's name means something only together with the issuer that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Principal<'a> {
    /// The issuer of the verified token.
    pub issuer: IssuerId,
    /// The client that it names, of an issuer with tenants as `<tenant>/<client>`; `None` where it names none.
    pub client: Option<&'a str>,
}
