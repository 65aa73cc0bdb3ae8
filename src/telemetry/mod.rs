//! Metrics and log lines, derived from decisions and from what became of fetches. Decides nothing, and nothing calls it
//! but the filter.

mod log;
mod metrics;
mod name;
mod series;
mod token_log;
mod token_metrics;

pub use log::{Reports, fetch_line};
pub use metrics::Metrics;
pub use series::MAX_SERIES;
pub use token_log::{breaker_line, endpoint_line, purge_line, token_line};
pub use token_metrics::TokenMetrics;
