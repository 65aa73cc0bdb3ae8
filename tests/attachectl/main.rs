//! `attachectl` as an operator runs it: its arguments, its output and its exit code.

#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    clippy::unwrap_in_result,
    clippy::disallowed_methods
)]

mod audit_record;
mod check;
mod copied;
mod documents;
mod explain;
mod import;
mod init;
mod observability;
mod online;
mod schema;
mod tool;
mod top;
