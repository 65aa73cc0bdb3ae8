//! What a route demands. Immutable once compiled; decides nothing about tokens, which it never sees.

mod authority;
mod contradiction;
mod mcp;
mod metadata;
mod overrides;
mod path;
mod principal;
mod rank;
mod requirement;
mod requirement_name;
mod resource_uri;
mod route;
mod size;
mod table;
mod trie;

pub(crate) use authority::ByAuthority;
pub use authority::{Authority, AuthorityError, RequestAuthority};
pub use contradiction::Contradiction;
pub use mcp::{AmbiguousUri, MESSAGE_METHOD, McpCall, McpRules};
pub use metadata::{MetadataClient, MetadataDemand, RequestMetadata, RouteMetadata, RouteMetadataError};
pub use overrides::{Overridden, Overrides};
pub use path::{PathError, PathFeatures, RequestPath};
pub use principal::Principal;
pub use requirement::{IssuerId, Leaf, NamedRequirement, Need, Requirement, TokenFacts};
pub use requirement_name::UnmetName;
pub use resource_uri::is_normal_uri;
pub use route::{
    LetterCase, McpPattern, Mode, PathPattern, Pattern, Route, RouteAudit, RouteId, Rule, Segment, StreamEnd,
};
pub use table::{RouteTable, TableProblem};
