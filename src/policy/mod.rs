//! What a route demands. Immutable once compiled; decides nothing about tokens, which it never sees.

mod authority;
mod metadata;
mod overrides;
mod path;
mod rank;
mod requirement;
mod route;
mod table;
mod trie;

pub(crate) use authority::ByAuthority;
pub use authority::{Authority, AuthorityError, RequestAuthority};
pub use metadata::{MetadataClient, MetadataDemand, RequestMetadata, RouteMetadata, RouteMetadataError};
pub use overrides::{Overridden, Overrides};
pub use path::{PathError, PathFeatures, RequestPath};
pub use requirement::{IssuerId, Leaf, Requirement, TokenFacts};
pub use route::{LetterCase, Mode, PathPattern, Pattern, Route, RouteId, Rule, Segment};
pub use table::{RouteTable, TableProblem};
