use super::scope_syntax::{ScopeMatching, ScopeSyntax, above, covers};
use crate::claims::{ClaimError, ClaimPath};
use crate::jose::{Json, Object};

/// The scopes that a token carries, sorted, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet {
    /// All of them, one behind the other: thousands of tokens are kept, and one piece of memory is found faster than
    /// ten.
    text: Box<str>,
    /// Where each ends.
    ends: Box<[usize]>,
    /// Which others they cover.
    matching: ScopeMatching,
    /// The places of those that have a wildcard, where that counts: the others are found without looking at each.
    wildcards: Box<[usize]>,
}

impl ScopeSet {
    /// Unites the scopes of every claim in `paths` that is present. A string is split at the separators, which are a
    /// space by RFC 6749 §3.3 and RFC 9068 §2.2.3; a list gives one scope an element (`scp` of some issuers, roles),
    /// which is not split. `null` gives none: it is what some serializers write for what is not there.
    ///
    /// # Errors
    /// [`ClaimError::MalformedScope`] when a claim is of another type, [`ClaimError::TooManyScopes`] above 1,024.
    pub fn read(claims: &Object<'_>, paths: &[ClaimPath], syntax: ScopeSyntax) -> Result<Self, ClaimError> {
        let splits = |c: char| u8::try_from(c).is_ok_and(|byte| syntax.separators.contains(byte));
        let mut scopes = Vec::new();
        for claim in paths.iter().filter_map(|path| path.find(claims)) {
            let mut add = |scope| {
                if scopes.len() == MAX_SCOPES {
                    return Err(ClaimError::TooManyScopes { max: MAX_SCOPES });
                }
                scopes.push(scope);
                Ok(())
            };
            match claim {
                Json::String(text) => {
                    text.split(splits).filter(|scope| !scope.is_empty()).try_for_each(&mut add)?
                }
                Json::Array(items) => {
                    let mut items = items.iter().filter(|item| **item != Json::Null);
                    items.try_for_each(|item| add(item.as_str().ok_or(ClaimError::MalformedScope)?))?;
                }
                Json::Null => {}
                Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
                    return Err(ClaimError::MalformedScope);
                }
            }
        }
        scopes.sort_unstable();
        scopes.dedup();
        let has_wildcard = |(_, scope): &(usize, &&str)| scope.contains('*');
        let wildcards = match syntax.matching {
            ScopeMatching::Exact | ScopeMatching::Hierarchical(_) => Box::default(),
            ScopeMatching::Wildcard(_) => {
                scopes.iter().enumerate().filter(has_wildcard).map(|(place, _)| place).collect()
            }
        };
        let mut end = 0_usize;
        let ends = scopes.iter().map(|scope| {
            end = end.saturating_add(scope.len());
            end
        });
        let (ends, text) = (ends.collect(), scopes.concat().into());
        Ok(Self { text, ends, matching: syntax.matching, wildcards })
    }

    /// Whether this scope is among them, or one that covers it.
    pub fn contains(&self, scope: &str) -> bool {
        self.has(scope)
            || match self.matching {
                ScopeMatching::Exact => false,
                ScopeMatching::Hierarchical(levels) => above(scope, levels).any(|above| self.has(above)),
                ScopeMatching::Wildcard(levels) => {
                    self.wildcards.iter().any(|place| covers(self.nth(*place), scope, levels))
                }
            }
    }

    /// Whether this very scope is among them.
    fn has(&self, scope: &str) -> bool {
        // The usual handful is looked through; of hundreds, half are left at each step.
        let (mut first, mut behind) = (0_usize, self.ends.len());
        while behind.saturating_sub(first) > FEW {
            let middle = first.midpoint(behind);
            if self.nth(middle) <= scope { first = middle } else { behind = middle }
        }
        (first..behind).any(|place| self.nth(place) == scope)
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|place| self.nth(place))
    }

    /// How many bytes of memory the set takes.
    pub fn size(&self) -> usize {
        let places = self.ends.len().saturating_add(self.wildcards.len());
        self.text.len().saturating_add(places.saturating_mul(size_of::<usize>()))
    }

    fn nth(&self, place: usize) -> &str {
        let end = |place: usize| self.ends.get(place).copied();
        let start = place.checked_sub(1).and_then(end).unwrap_or_default();
        end(place).and_then(|end| self.text.get(start..end)).unwrap_or_default()
    }
}

/// Whether `text` may stand as one scope in a requirement and in a challenge: RFC 6749 §3.3, `scope-token`.
pub fn is_scope_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_SCOPE_BYTES
        && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// So many are compared one by one.
const FEW: usize = 8;
/// A token of the largest size, filled with scopes of a few letters, carries about three thousand; issuers stay under a
/// hundred.
const MAX_SCOPES: usize = 1024;
/// A scope goes into a challenge, which has to fit a header.
const MAX_SCOPE_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, paths: &[&[&str]]) -> Result<Vec<String>, ClaimError> {
        let paths: Vec<_> = paths.iter().map(|path| ClaimPath::new(path).unwrap()).collect();
        ScopeSet::read(&Object::parse(json.as_bytes()).unwrap(), &paths, ScopeSyntax::default())
            .map(|scopes| scopes.iter().map(str::to_owned).collect())
    }

    #[test]
    fn scopes_come_from_strings_lists_and_nested_claims_united() {
        let json = r#"{"scope":"b  a","scp":["c","a"],"realm_access":{"roles":["d"]}}"#;
        let paths: [&[&str]; 4] = [&["scope"], &["scp"], &["realm_access", "roles"], &["absent", "too"]];
        assert_eq!(read(json, &paths).unwrap(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_scope_claim_of_another_type_is_malformed() {
        for json in
            [r#"{"scope":1}"#, r#"{"scope":["a",1]}"#, r#"{"scope":{"a":true}}"#, r#"{"scope":false}"#]
        {
            assert_eq!(read(json, &[&["scope"]]), Err(ClaimError::MalformedScope), "{json}");
        }
    }

    #[test]
    fn null_is_no_scope_and_no_fault() {
        let json = r#"{"scope":null,"scp":[null,"a",null],"roles":[null]}"#;
        assert_eq!(read(json, &[&["scope"], &["scp"], &["roles"], &["scope", "x"]]).unwrap(), ["a"]);
    }

    #[test]
    fn each_of_many_scopes_is_found_and_none_that_is_not_there() {
        for count in (0..40).chain([1_000, MAX_SCOPES]) {
            let text: Vec<String> = (0..count).map(|n| format!("s{}", n * 2)).collect();
            let json = format!(r#"{{"scope":"{}"}}"#, text.join(" "));
            let object = Object::parse(json.as_bytes()).unwrap();
            let path = ClaimPath::new(&["scope"]).unwrap();
            let set = ScopeSet::read(&object, &[path], ScopeSyntax::default()).unwrap();
            for n in 0..count {
                assert!(set.contains(&format!("s{}", n * 2)), "{n} of {count}");
                assert!(!set.contains(&format!("s{}", n * 2 + 1)), "{n} of {count}");
            }
            assert!(!set.contains("") && !set.contains("s") && !set.contains("t") && !set.contains("a"));
        }
    }

    #[test]
    fn a_scope_covers_what_the_matching_says() {
        let set = |matching| {
            let json = Object::parse(br#"{"scope":["orders","stock:*","own items:read"]}"#).unwrap();
            let syntax = ScopeSyntax { matching, ..ScopeSyntax::default() };
            ScopeSet::read(&json, &[ClaimPath::new(&["scope"]).unwrap()], syntax).unwrap()
        };
        let levels = [b':'].into_iter().collect();
        let exact = set(ScopeMatching::Exact);
        let below = set(ScopeMatching::Hierarchical(levels));
        let wild = set(ScopeMatching::Wildcard(levels));
        for (scope, expected) in [
            ("orders", [true; 3]),
            ("stock:*", [true; 3]),
            ("own items:read", [true; 3]),
            ("orders:read", [false, true, false]),
            ("orders:read:own", [false, true, false]),
            ("stock:read", [false, false, true]),
            ("stock:*:own", [false, true, true]),
            ("stock", [false; 3]),
            ("orders.read", [false; 3]),
            ("ordersx", [false; 3]),
            ("order", [false; 3]),
            ("", [false; 3]),
            (":", [false; 3]),
        ] {
            assert_eq!([&exact, &below, &wild].map(|set| set.contains(scope)), expected, "{scope}");
        }
    }

    #[test]
    fn a_string_is_split_at_the_separators_and_a_list_is_not() {
        let read = |json: &str, separators: &str| -> Vec<String> {
            let syntax = ScopeSyntax { separators: separators.bytes().collect(), ..ScopeSyntax::default() };
            let json = Object::parse(json.as_bytes()).unwrap();
            let set = ScopeSet::read(&json, &[ClaimPath::new(&["scope"]).unwrap()], syntax).unwrap();
            set.iter().map(str::to_owned).collect()
        };
        assert_eq!(read(r#"{"scope":"a,b, c"}"#, ","), [" c", "a", "b"]);
        assert_eq!(read(r#"{"scope":"a,b, c"}"#, ", "), ["a", "b", "c"]);
        assert_eq!(read("{\"scope\":\"Order Reader\\nb\"}", "\n"), ["Order Reader", "b"]);
        assert_eq!(read(r#"{"scope":["a b","c,d"]}"#, ", "), ["a b", "c,d"]);
        assert_eq!(read(r#"{"scope":"ä b"}"#, " "), ["b", "ä"]);
    }

    #[test]
    fn scopes_are_bounded() {
        let of = |n: usize| format!(r#"{{"scope":"{}"}}"#, "a ".repeat(n));
        assert_eq!(read(&of(MAX_SCOPES), &[&["scope"]]).unwrap(), ["a"]);
        assert_eq!(
            read(&of(MAX_SCOPES + 1), &[&["scope"]]),
            Err(ClaimError::TooManyScopes { max: MAX_SCOPES })
        );
    }

    #[test]
    fn a_scope_token_has_no_space_quote_or_backslash() {
        assert!(is_scope_token("orders:read") && is_scope_token("!") && is_scope_token(&"a".repeat(256)));
        for text in ["", "a b", "a\"", "a\\", "ä", "\n", &"a".repeat(257)] {
            assert!(!is_scope_token(text), "{text:?}");
        }
    }
}
