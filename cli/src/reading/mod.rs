//! From files to what they hold: values with their lines, and the filters and resources among them.

mod allowance;
mod file;
mod filter;
mod kubernetes;
mod node;
mod place;
mod read;
mod set;
mod walk;
mod yaml;

pub(crate) use allowance::{Allowed, resolve};
pub(crate) use file::{Body, File, read_file};
pub(crate) use filter::{Filter, Host, Seat};
pub(crate) use node::Content;
#[cfg(test)]
pub(crate) use node::Node;
pub(crate) use place::Place;
pub(crate) use read::read;
pub(crate) use set::{Manager, Set};
