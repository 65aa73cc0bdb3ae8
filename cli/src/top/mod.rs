//! What an Envoy with the filter is doing, from its admin page: counts, rates between two readings, and gauges.
//!
//! Names of statistics are the text of others: what is shown of them is visible ASCII, and bounded.

mod admin;
mod stats;
mod table;
mod view;

pub use admin::Admin;
pub use stats::{Stats, Unreadable};
pub use view::{Style, View};
