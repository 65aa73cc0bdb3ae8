//! How an issuer writes scopes, and which of them one that a token carries covers.

/// How an issuer writes scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopeSyntax {
    /// What stands between the scopes of a string.
    pub separators: AsciiSet,
    /// What a scope covers beside itself.
    pub matching: ScopeMatching,
}

/// Which scopes one that a token carries covers, beside itself. Levels are the parts of a scope between separators of
/// its own: `orders:read` has two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScopeMatching {
    /// None.
    #[default]
    Exact,
    /// Those below it: `orders` covers `orders:read`.
    Hierarchical(AsciiSet),
    /// Those that its wildcards stand for: a level that is `*` stands for one that is not empty, and the last one for
    /// all that follow as well.
    Wildcard(AsciiSet),
}

/// Some ASCII characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsciiSet(u128);

impl Default for ScopeSyntax {
    /// RFC 6749 §3.3.
    fn default() -> Self {
        Self { separators: [b' '].into_iter().collect(), matching: ScopeMatching::Exact }
    }
}

impl ScopeMatching {
    /// The same, with these characters between the levels of a scope.
    pub fn with_levels(self, levels: AsciiSet) -> Self {
        match self {
            Self::Exact => Self::Exact,
            Self::Hierarchical(_) => Self::Hierarchical(levels),
            Self::Wildcard(_) => Self::Wildcard(levels),
        }
    }
}

impl AsciiSet {
    /// Whether it has this character.
    pub fn contains(self, byte: u8) -> bool {
        1_u128.checked_shl(byte.into()).is_some_and(|bit| self.0 & bit != 0)
    }

    /// Whether both have one.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl FromIterator<u8> for AsciiSet {
    /// Of these, those that are ASCII.
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        let bits = bytes.into_iter().filter_map(|byte| 1_u128.checked_shl(byte.into()));
        Self(bits.fold(0, |set, bit| set | bit))
    }
}

/// The scopes above this one, by cutting it before each of its separators. None of them is empty.
pub(super) fn above(scope: &str, levels: AsciiSet) -> impl Iterator<Item = &str> {
    let ends = scope.bytes().enumerate().skip(1).filter(move |(_, byte)| levels.contains(*byte));
    ends.filter_map(|(end, _)| scope.get(..end))
}

/// Whether a scope with wildcards covers this one. Each is read once, from the left.
pub(super) fn covers(pattern: &str, scope: &str, levels: AsciiSet) -> bool {
    let (mut pattern, mut scope) = (pattern.as_bytes(), scope.as_bytes());
    loop {
        let (wanted, behind_wanted) = split(pattern, levels);
        let (given, behind_given) = split(scope, levels);
        match (wanted, behind_wanted) {
            (b"*", None) => return !given.is_empty(),
            (b"*", Some(_)) if given.is_empty() => return false,
            (b"*", Some(_)) => {}
            _ if wanted != given => return false,
            _ => {}
        }
        match (behind_wanted, behind_given) {
            (None, None) => return true,
            (Some((one, rest)), Some((other, others))) if one == other => (pattern, scope) = (rest, others),
            _ => return false,
        }
    }
}

/// The first level, and the separator behind it with what follows.
fn split(text: &[u8], levels: AsciiSet) -> (&[u8], Option<(u8, &[u8])>) {
    let end = text.iter().position(|byte| levels.contains(*byte)).unwrap_or(text.len());
    let (level, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    (level, rest.split_first().map(|(separator, rest)| (*separator, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(characters: &str) -> AsciiSet {
        characters.bytes().collect()
    }

    #[test]
    fn a_set_holds_ascii_only() {
        let set: AsciiSet = [b':', 0, 127, 128, 255].into_iter().collect();
        for byte in 0..=255 {
            assert_eq!(set.contains(byte), [b':', 0, 127].contains(&byte), "{byte}");
        }
        assert!(set.meets(levels(":")) && !set.meets(levels("/")));
    }

    #[test]
    fn what_is_above_a_scope_ends_at_its_levels() {
        let of = |scope, set| above(scope, levels(set)).collect::<Vec<_>>();
        assert_eq!(of("a:b.c/d", ":."), ["a", "a:b"]);
        assert_eq!(of("orders", ":"), Vec::<&str>::new());
        assert_eq!(of(":a::", ":"), [":a", ":a:"]);
    }

    #[test]
    fn a_wildcard_stands_for_one_level_and_the_last_for_all_that_follow() {
        for (pattern, scope, is_covered) in [
            ("orders:*", "orders:read", true),
            ("orders:*", "orders:read:own", true),
            ("orders:*", "orders:*", true),
            ("orders:*", "orders", false),
            ("orders:*", "orders:", false),
            ("orders:*", "orders::read", false),
            ("orders:*", "ordersx:read", false),
            ("orders:*", "Orders:read", false),
            ("orders:*", "orders.read", false),
            ("*", "orders", true),
            ("*", "orders:read", true),
            ("*", ":read", false),
            ("*:read", "orders:read", true),
            ("*:read", "orders:items:read", false),
            ("*:read", ":read", false),
            ("*:*", "orders", false),
            ("a:*:c", "a:b:c", true),
            ("a:*:c", "a::c", false),
            ("a:*:c", "a:b:d", false),
            ("a:*:c", "a:b:c:d", false),
            ("a:*/c", "a:b/c", true),
            ("a:*/c", "a:b:c", false),
            ("ord*", "orders", false),
            ("orders:re*", "orders:read", false),
            ("orders:*:", "orders:read", false),
            ("orders:*:", "orders:read:", true),
            ("orders.*", "orders.read", false),
        ] {
            assert_eq!(covers(pattern, scope, levels(":/")), is_covered, "{pattern} {scope}");
        }
    }
}
