//! Requests that would make a server behind us misread a header of ours: by a name that it takes for ours (`X_User`,
//! `x.user` and `x-user` are one name to one or another CGI), or by naming ours as one that ends at the next hop.

use std::rc::Rc;

use crate::base::{Headers, NameFilter, connection_options, is_connection_header, is_read_as};

/// The names of our headers: those that we set, and those that a token sits in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtectedHeaders {
    names: Vec<Rc<str>>,
    /// Of these names, and of the headers that name others.
    filter: NameFilter,
}

/// What is wrong with a header beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// Its name may be taken for one of ours.
    Lookalike,
    /// It names one of ours as a header of the connection only.
    HopByHop,
}

impl ProtectedHeaders {
    /// Protects these names, which are lower case and have no underscore.
    pub fn new(names: impl IntoIterator<Item = Rc<str>>) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        let all = names.iter().map(|name| &**name).chain(crate::base::CONNECTION_HEADERS);
        let filter = all.fold(NameFilter::default(), NameFilter::with);
        Self { names, filter }
    }

    /// The names that are looked at: ours, and those of the headers that name others.
    pub fn filter(&self) -> NameFilter {
        self.filter
    }

    /// What is wrong with a header of this name and value, if anything is.
    pub(super) fn violation(&self, name: &[u8], value: &[u8]) -> Option<Violation> {
        if is_connection_header(name) {
            let is_ours = |option: &[u8]| self.names.iter().any(|ours| is_read_as(option, ours));
            return connection_options(value).any(is_ours).then_some(Violation::HopByHop);
        }
        self.imitates(name).then_some(Violation::Lookalike)
    }

    /// The names among these headers' that are not ours but may be taken for one of them.
    pub fn lookalikes<'a>(&'a self, headers: &'a Headers) -> impl Iterator<Item = &'a [u8]> {
        headers.fields(self.filter).map(|(name, _)| name).filter(|name| self.imitates(name))
    }

    fn imitates(&self, name: &[u8]) -> bool {
        // Almost every name of another length ends here, and ours itself.
        let may_be = |ours: &&Rc<str>| ours.len() == name.len() && ours.as_bytes() != name;
        self.names.iter().filter(may_be).any(|ours| is_read_as(name, ours))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(protected: &ProtectedHeaders, name: &str, value: &str) -> Option<Violation> {
        let headers: Headers = [("a", ""), (name, value), ("b", "")].into_iter().collect();
        let violation = protected.violation(name.as_bytes(), value.as_bytes());
        let is_lookalike = protected.lookalikes(&headers).eq([name.as_bytes()]);
        assert_eq!(is_lookalike, violation == Some(Violation::Lookalike));
        violation
    }

    fn is_protected(protected: &ProtectedHeaders, name: &str) -> bool {
        violation(protected, name, "x") == Some(Violation::Lookalike)
    }

    /// Each length has a bit, also those that share one.
    #[test]
    fn a_name_of_any_length_is_protected() {
        for length in 2..200 {
            let name = format!("a-{}", "b".repeat(length - 2));
            let protected = ProtectedHeaders::new([name.as_str().into()]);
            assert!(is_protected(&protected, &name.replace('-', "_")), "{length}");
            assert!(!is_protected(&protected, &name) && !is_protected(&protected, &format!("{name}_")));
        }
    }

    #[test]
    fn underscores_dots_and_upper_case_do_not_make_another_name() {
        let protected = ProtectedHeaders::new(["x-auth-subject".into(), "authorization".into()]);
        for name in [
            "x_auth_subject",
            "x-auth_subject",
            "X-Auth-Subject",
            "X_AUTH_SUBJECT",
            "x.auth.subject",
            "Authorization",
        ] {
            assert!(is_protected(&protected, name), "{name}");
        }
        for name in ["x-auth-subject", "authorization", "x_auth", "x_auth_subject_", "user_agent"] {
            assert!(!is_protected(&protected, name), "{name}");
        }
    }

    /// RFC 9110 §7.6.1.
    #[test]
    fn no_connection_option_names_a_header_of_ours() {
        let protected = ProtectedHeaders::new(["x-auth-subject".into(), "authorization".into()]);
        for options in [
            "x-auth-subject",
            "upgrade, X-Auth-Subject",
            "close,,\tauthorization ,te",
            "upgrade,x_auth_subject",
        ] {
            for name in ["connection", "proxy-connection"] {
                assert_eq!(
                    violation(&protected, name, options),
                    Some(Violation::HopByHop),
                    "{name}: {options}"
                );
            }
            assert_eq!(violation(&protected, "x-connection", options), None);
        }
        for options in ["", "Upgrade", "Upgrade, HTTP2-Settings", "keep-alive", "x-auth", "x-auth-subject2"] {
            assert_eq!(violation(&protected, "connection", options), None, "{options}");
        }
    }
}
