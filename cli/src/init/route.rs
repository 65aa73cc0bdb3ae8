//! One route of a policy, as it is written on a command line.

use anyhow::{Result, bail};
use attache::claims::is_scope_token;

/// `[METHODS] PATH [SCOPE… | public]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RouteLine {
    methods: Vec<String>,
    path: String,
    is_prefix: bool,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Public,
    /// A valid token with these scopes, perhaps none.
    Token(Vec<String>),
}

impl RouteLine {
    /// Reads it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace().peekable();
        let methods = words.next_if(|word| !word.starts_with('/'));
        let methods: Vec<String> =
            methods.into_iter().flat_map(|word| word.split(',')).map(str::to_owned).collect();
        if methods
            .iter()
            .any(|method| method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            bail!(
                "route `{text}`: methods are upper case and separated by commas: `GET,POST /orders orders:read`"
            );
        }
        let Some(path) = words.next() else {
            bail!("route `{text}`: a path is missing: `GET /orders/{{id}} orders:read`")
        };
        let (path, is_prefix) = match path.strip_suffix("/*") {
            Some(path) => (if path.is_empty() { "/" } else { path }, true),
            None => (path, false),
        };
        let scopes: Vec<String> = words.map(str::to_owned).collect();
        let rule = if scopes == ["public"] { Rule::Public } else { Rule::Token(scopes) };
        if let Rule::Token(scopes) = &rule
            && let Some(scope) = scopes.iter().find(|scope| !is_scope_token(scope))
        {
            bail!("route `{text}`: `{scope}` is not a scope");
        }
        Ok(Self { methods, path: path.to_owned(), is_prefix, rule })
    }

    /// Whether it wants a token.
    pub(super) fn wants_token(&self) -> bool {
        matches!(self.rule, Rule::Token(_))
    }

    /// A method and a path that match it.
    pub(super) fn example(&self) -> (String, String) {
        let method = self.methods.first().map_or("GET", |method| method);
        let segments =
            self.path.split('/').map(|segment| if segment.starts_with('{') { "1" } else { segment });
        (method.to_owned(), segments.collect::<Vec<_>>().join("/"))
    }

    /// A name for it: lower case letters, digits and dashes, at most 60.
    fn name(&self) -> String {
        let text = format!("{} {}", self.methods.join(" "), self.path).to_ascii_lowercase();
        let words: Vec<&str> =
            text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let name: String = words.join("-").chars().take(60).collect();
        if name.is_empty() { "all".to_owned() } else { name }
    }

    /// The lines of the configuration, without indentation. `quote` writes a text as YAML.
    fn lines(&self, name: &str, quote: &impl Fn(&str) -> String) -> [String; 3] {
        let list = |items: &[String]| items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(", ");
        let kind = if self.is_prefix { "prefix" } else { "path" };
        let methods = if self.methods.is_empty() {
            String::new()
        } else {
            format!(", methods: [{}]", list(&self.methods))
        };
        let rule = match &self.rule {
            Rule::Public => "public: {}".to_owned(),
            Rule::Token(scopes) if scopes.is_empty() => "require: { authenticated: {} }".to_owned(),
            Rule::Token(scopes) => format!("require: {{ scopes: [{}] }}", list(scopes)),
        };
        [
            format!("- name: {}", quote(name)),
            format!("  match: {{ {kind}: {}{methods} }}", quote(&self.path)),
            format!("  {rule}"),
        ]
    }
}

/// All routes as lines of the configuration, each with a name of its own.
pub(super) fn lines(routes: &[RouteLine], quote: &impl Fn(&str) -> String) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for route in routes {
        let first = route.name();
        let numbered = (2_usize..).map(|number| format!("{first}-{number}"));
        let mut candidates = core::iter::once(first.clone()).chain(numbered);
        let name = candidates.find(|name| !names.contains(name)).unwrap_or_default();
        lines.extend(route.lines(&name, quote));
        names.push(name);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(texts: &[&str]) -> Vec<String> {
        let routes: Vec<_> = texts.iter().map(|text| RouteLine::parse(text).unwrap()).collect();
        lines(&routes, &|text| text.to_owned())
    }

    #[test]
    fn an_example_matches_the_route() {
        let example = |text: &str| RouteLine::parse(text).unwrap().example();
        let pair = |method: &str, path: &str| (method.to_owned(), path.to_owned());
        assert_eq!(example("POST,PUT /orders/{id}/lines/{line} a"), pair("POST", "/orders/1/lines/1"));
        assert_eq!(example("/files/* a"), pair("GET", "/files"));
        assert_eq!(example("/*"), pair("GET", "/"));
    }

    #[test]
    fn a_route_is_methods_a_path_and_scopes() {
        assert_eq!(
            written(&["GET,HEAD /orders/{id} orders:read orders:admin", "/healthz public", "/*"]),
            [
                "- name: get-head-orders-id",
                "  match: { path: /orders/{id}, methods: [GET, HEAD] }",
                "  require: { scopes: [orders:read, orders:admin] }",
                "- name: healthz",
                "  match: { path: /healthz }",
                "  public: {}",
                "- name: all",
                "  match: { prefix: / }",
                "  require: { authenticated: {} }",
            ]
        );
    }

    #[test]
    fn names_are_given_once() {
        let names = written(&["/a/b", "/a-b", "/a.b/*"]);
        assert_eq!([&names[0], &names[3], &names[6]], ["- name: a-b", "- name: a-b-2", "- name: a-b-3"]);
    }

    #[test]
    fn what_is_no_route_is_told_why() {
        for (text, why) in [
            ("get /orders", "methods are upper case"),
            ("GET", "a path is missing"),
            ("", "a path is missing"),
            ("GET /orders a\"b", "is not a scope"),
        ] {
            let error = RouteLine::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
