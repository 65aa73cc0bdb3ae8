//! Policies of other gateways as configurations of the filter: what carries over, and a note on what does not.
//!
//! What cannot be said exactly is left out, and what is left out is denied. The text that comes out has been compiled.

mod apigee;
mod options;
mod path;
mod product;
mod table;
mod yaml;

pub use apigee::{Imported, apigee};
pub use options::{BasePath, Options, ScopeUse};
