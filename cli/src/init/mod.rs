//! A bootstrap to start from, for each half: what is safe is on, and what a stranger has to fill in is asked for. No
//! secret is asked for or written: it comes from a variable of Envoy's environment, or by SDS.

mod answers;
mod bootstrap;
mod route;
pub(crate) mod template;

pub use answers::{Answers, Half, Question};
pub use bootstrap::{Places, SEAL, bootstrap};
