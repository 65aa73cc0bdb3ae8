//! Why a request is forwarded or refused, by each half: the filter's own code, told step by step.
//!
//! What is judged here is judged by the library; this module only says in words what it was given and what it made of
//! it. It shows claims, which the user of `explain` holds, and never a token, a signature or a secret.

mod answers;
mod cluster;
mod destination_report;
mod difference;
mod inbound;
mod key_report;
mod outbound;
mod page;
mod record;
mod requirement;
mod route_order;
mod token_call;
mod token_report;

pub(crate) use answers::{Inbound, Judgement, key_lines, metadata_lines, token_lines};
pub use cluster::asserts_tls;
pub use inbound::Question;
pub use outbound::OutboundQuestion;
pub use page::Explanation;
pub use record::{Fault, Record};
pub(crate) use route_order::route_order;
