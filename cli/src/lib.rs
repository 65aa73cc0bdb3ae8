//! The operator's tool, native: finds configurations in files, checks them as the filter does, and says step by step
//! what the filter makes of a request. `attachectl` is its command line.

pub mod capabilities;
pub mod document;
mod edits;
mod egress;
pub mod explanation;
mod former_order;
mod members;
mod metadata_places;
