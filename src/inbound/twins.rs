//! Header names that a server behind us may take for ours: `X_User`, `x.user` and `x-user` are one name to one or another CGI.

use std::rc::Rc;

/// The names of our headers: those that we set, and those that a token sits in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins {
    names: Vec<Rc<str>>,
    /// Their lengths as bits: almost every header's name is longer or shorter.
    lengths: u64,
}

impl Twins {
    /// Guards these names, which are lower case and have no underscore.
    pub fn new(names: impl IntoIterator<Item = Rc<str>>) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        let lengths = names.iter().fold(0, |lengths, name| lengths | length_bit(name.len()));
        Self { names, lengths }
    }

    /// Whether `name` is not one of our names but may be taken for one.
    pub fn imitates(&self, name: &[u8]) -> bool {
        if self.lengths & length_bit(name.len()) == 0 {
            return false;
        }
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

/// The bit of a length; lengths of 64 and more begin again.
fn length_bit(length: usize) -> u64 {
    1_u64.rotate_left(u32::try_from(length & 63).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each length has a bit, also those that share one.
    #[test]
    fn a_name_of_any_length_is_guarded() {
        for length in 2..200 {
            let name = format!("a-{}", "b".repeat(length - 2));
            let twins = Twins::new([name.as_str().into()]);
            assert!(twins.imitates(name.replace('-', "_").as_bytes()), "{length}");
            assert!(!twins.imitates(name.as_bytes()) && !twins.imitates(format!("{name}_").as_bytes()));
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
            assert!(twins.imitates(name.as_bytes()), "{name}");
        }
        for name in ["x-auth-subject", "authorization", "x_auth", "x_auth_subject_", "user_agent"] {
            assert!(!twins.imitates(name.as_bytes()), "{name}");
        }
    }
}
