//! Metrics and log lines, derived from decisions and from what became of fetches. Decides nothing, and nothing calls it
//! but the filter.

mod audit;
mod client_metrics;
mod decision_times;
mod declaration;
mod log;
mod message;
mod metrics;
mod name;
mod series;
mod stream_metrics;
mod token_metrics;
mod token_record;
mod words;

pub use audit::{AuditField, AuditSettings, InboundAudit, OutboundAudit};
pub use client_metrics::MAX_CLIENT_SERIES;
pub use declaration::DECLARE;
pub use log::{Reports, TokenRecords, breaker_line, endpoint_line, fetch_line, token_line};
pub use message::{HostFault, Message};
pub use metrics::{Metrics, config_version};
pub use series::MAX_SERIES;
pub use stream_metrics::{MAX_STREAM_SERIES, StreamMetrics};
pub use token_metrics::TokenMetrics;
pub use token_record::{IssuedRecord, TokenRecord};
pub use words::Owner;
