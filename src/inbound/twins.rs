//! Header names that a server behind us may take for ours: `X_User`, `x.user` and `x-user` are one name to one or another CGI.

use std::rc::Rc;

use crate::base::{Headers, Lengths};

/// The names of our headers: those that we set, and those that a token sits in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins {
    names: Vec<Rc<str>>,
    lengths: Lengths,
}

impl Twins {
    /// Guards these names, which are lower case and have no underscore.
    pub fn new(names: impl IntoIterator<Item = Rc<str>>) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        let lengths = names.iter().fold(Lengths::default(), |lengths, name| lengths.with(name.len()));
        Self { names, lengths }
    }

    /// The names among these headers' that are not ours but may be taken for one of them.
    pub fn among<'a>(&'a self, headers: &'a Headers) -> impl Iterator<Item = &'a [u8]> {
        headers.names(self.lengths).filter(|name| self.imitates(name))
    }

    /// The lengths of names that may be taken for ours.
    pub fn lengths(&self) -> Lengths {
        self.lengths
    }

    /// Whether this name, which is not ours, may be taken for one of them.
    pub(super) fn imitates(&self, name: &[u8]) -> bool {
        // Envoy gives names in lower case, so almost every other name ends here.
        if name.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
            return false;
        }
        let as_servers_read_it =
            |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
        self.names
            .iter()
            .any(|ours| name.len() == ours.len() && name.iter().map(as_servers_read_it).eq(ours.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_guarded(twins: &Twins, name: &str) -> bool {
        let headers = [("a", ""), (name, "x"), ("b", "")].into_iter().collect();
        twins.among(&headers).eq([name.as_bytes()])
    }

    /// Each length has a bit, also those that share one.
    #[test]
    fn a_name_of_any_length_is_guarded() {
        for length in 2..200 {
            let name = format!("a-{}", "b".repeat(length - 2));
            let twins = Twins::new([name.as_str().into()]);
            assert!(is_guarded(&twins, &name.replace('-', "_")), "{length}");
            assert!(!is_guarded(&twins, &name) && !is_guarded(&twins, &format!("{name}_")));
        }
    }

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
            assert!(is_guarded(&twins, name), "{name}");
        }
        for name in ["x-auth-subject", "authorization", "x_auth", "x_auth_subject_", "user_agent"] {
            assert!(!is_guarded(&twins, name), "{name}");
        }
    }
}
