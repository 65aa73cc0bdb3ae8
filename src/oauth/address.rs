use std::rc::Rc;

use url::Url;

use crate::base::Excerpt;

/// Where an HTTP document is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host, and the port if there is one.
    pub authority: Rc<str>,
    /// Path and query.
    pub path: Rc<str>,
}

impl Address {
    /// The address that a URL names. The caller has seen to it that the URL is `http` or `https` and has a host.
    pub fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Self {
            scheme: if url.scheme() == "http" { "http" } else { "https" },
            authority: authority.into(),
            path: format!("{}{query}", url.path()).into(),
        }
    }

    /// The address as a text.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.path)
    }

    /// The address as a log line may show it: bounded, and without a query, which may hold a key.
    pub fn shown(&self) -> String {
        let (path, query) = self.path.split_once('?').map_or((&*self.path, ""), |(path, _)| (path, "?…"));
        let url = format!("{}://{}{path}", self.scheme, self.authority);
        format!("{}{query}", Excerpt::of(&url, MAX_SHOWN))
    }

    /// Where the metadata of an issuer may be: RFC 8414 §3.1 puts the well-known part before the issuer's path, OpenID
    /// after.
    pub fn of_metadata(issuer: &Url) -> [Self; 2] {
        let path = issuer.path().trim_end_matches('/');
        let at = |path: String| Self { path: path.into(), ..Self::of(issuer) };
        [
            at(format!("/.well-known/oauth-authorization-server{path}")),
            at(format!("{path}/.well-known/openid-configuration")),
        ]
    }
}

/// Reads a URL whose host is written as DNS has it. `url` would map any other to such a name by tables that this build
/// does not have, and what stands in their place is not made for it.
pub fn parse_url(text: &str) -> Option<Url> {
    let (_, rest) = text.split_once(':')?;
    let authority = rest.trim_start_matches(['/', '\\']).split(['/', '\\', '?', '#']).next()?;
    (authority.is_ascii() && !authority.contains('%')).then(|| Url::parse(text).ok()).flatten()
}

/// The longest URLs of issuers that are in use have half of it.
const MAX_SHOWN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_other_letters_is_none_however_it_is_written() {
        for text in
            ["https://H\u{1615}/", "https://H%E1%98%95/", "https:H\u{1615}", "https:\\\\H%c3%a9\\", "h", "%:"]
        {
            assert_eq!(parse_url(text), None, "{text}");
        }
        for text in
            ["https://H/%c3%a9", "https://[::1]:8443/?q=%20", "urn:x", "https://xn--bcher-kva.example/\u{e9}"]
        {
            assert!(parse_url(text).is_some(), "{text}");
        }
    }

    fn paths(issuer: &str) -> [String; 2] {
        Address::of_metadata(&Url::parse(issuer).unwrap()).map(|address| address.path.to_string())
    }

    /// RFC 8414 §3.1, and OpenID Connect Discovery §4.1.
    #[test]
    fn the_well_known_part_stands_before_the_path_or_after_it() {
        let oauth = "/.well-known/oauth-authorization-server";
        let openid = "/.well-known/openid-configuration";
        assert_eq!(paths("https://h"), [oauth.to_owned(), openid.to_owned()]);
        assert_eq!(paths("https://h/"), [oauth.to_owned(), openid.to_owned()]);
        assert_eq!(paths("https://h/a/b"), [format!("{oauth}/a/b"), format!("/a/b{openid}")]);
        assert_eq!(paths("https://h/a/"), [format!("{oauth}/a"), format!("/a{openid}")]);
    }
}
