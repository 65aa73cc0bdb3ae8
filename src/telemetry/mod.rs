//! Metrics and log lines, derived from decisions and from what became of fetches. Decides nothing, and nothing calls it but the
//! filter.

mod log;
mod metrics;
mod name;

pub use log::{Reports, fetch_line};
pub use metrics::{MAX_SERIES, Metrics};
