//! Metrics and log lines, derived from decisions and from what became of fetches. Decides nothing, and nothing calls it
//! but the filter.

mod log;
mod message;
mod metrics;
mod name;
mod series;
mod token_metrics;
mod words;

pub use log::{Reports, breaker_line, endpoint_line, fetch_line, token_line};
pub use message::{HostFault, Message};
pub use metrics::{Metrics, config_version};
pub use series::MAX_SERIES;
pub use token_metrics::TokenMetrics;
pub use words::Owner;
