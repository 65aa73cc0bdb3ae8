//! How large a requirement is, with those that it names: what its configuration bounds.

use super::requirement::Requirement;

impl Requirement {
    /// The most bytes of scopes that one challenge names, with the spaces between them: it has to fit a header, beside
    /// others, and proxies take no more than 4 to 16 KiB of those.
    pub const MAX_SCOPE_BYTES: usize = 4_096;

    /// How many leaves a request may have to be held against: those of named ones count each time that they are named.
    pub fn leaves(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().map(Self::leaves).fold(0, usize::saturating_add).max(1)
            }
            Self::Named(named) => named.leaves,
            Self::Leaf(_) => 1,
        }
    }

    /// How many levels it has, those of named ones included.
    pub fn depth(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().map(Self::depth).max().unwrap_or_default().saturating_add(1)
            }
            Self::Named(named) => named.depth.saturating_add(1),
            Self::Leaf(_) => 1,
        }
    }

    /// How many bytes the scopes have that a challenge may name for it, with a space after each. Scopes that several
    /// parts ask for count each time.
    pub fn scope_bytes(&self) -> usize {
        match self {
            Self::All(parts) => parts.iter().map(Self::scope_bytes).fold(0, usize::saturating_add),
            // One way is named.
            Self::Any(parts) => parts.iter().map(Self::scope_bytes).max().unwrap_or_default(),
            Self::Named(named) => named.scope_bytes,
            Self::Leaf(leaf) => {
                leaf.scopes().iter().map(|scope| scope.len().saturating_add(1)).fold(0, usize::saturating_add)
            }
        }
    }
}
