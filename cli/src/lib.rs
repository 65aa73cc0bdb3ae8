//! The operator's tool, native: finds configurations in files, checks them and what is around them, says step by step
//! what the filter makes of a request, and writes bootstraps to start from. `attachectl` is its command line.

mod check;
pub mod document;
pub mod explanation;
pub mod finding;
pub mod import;
pub mod init;
mod online;
pub mod printing;
mod reading;
pub mod report;
pub mod rules;
pub mod top;
mod variables;

pub use check::{check, check_online, check_text};
pub use online::{Asking, Network};
