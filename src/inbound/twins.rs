//! Header names that a server behind us may take for ours: `X_User`, `x.user` and `x-user` are one name to one or another CGI.

use std::rc::Rc;

/// The names of our headers: those that we set, and those that a token sits in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins(Vec<Rc<str>>);

impl Twins {
    /// Guards these names, which are lower case and have no underscore.
    pub fn new(names: impl IntoIterator<Item = Rc<str>>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Whether `name` is not one of our names but may be taken for one.
    pub fn imitates(&self, name: &[u8]) -> bool {
        // Envoy gives names in lower case, so almost every name ends here.
        if name.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
            return false;
        }
        let as_servers_read_it =
            |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
        self.0
            .iter()
            .any(|ours| name.len() == ours.len() && name.iter().map(as_servers_read_it).eq(ours.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_dots_and_upper_case_do_not_make_another_name() {
        let twins = Twins::new(["x-auth-subject".into(), "authorization".into()]);
        for name in [
            "x_auth_subject",
            "x-auth_subject",
            "X-Auth-Subject",
            "X_AUTH_SUBJECT",
            "x.auth.subject",
            "Authorization",
        ] {
            assert!(twins.imitates(name.as_bytes()), "{name}");
        }
        for name in ["x-auth-subject", "authorization", "x_auth", "x_auth_subject_", "user_agent"] {
            assert!(!twins.imitates(name.as_bytes()), "{name}");
        }
    }
}
