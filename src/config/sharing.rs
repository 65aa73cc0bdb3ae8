//! The block `sharing`.

use std::rc::Rc;

use super::reader::Node;
use super::{Environment, words};
use crate::sharing::{MIN_SEALING_SECRET_BYTES, Seal, Sharing};

/// `none`, `process`, or `process` with a sealing secret.
pub(super) fn read(node: &Node<'_>, environment: &dyn Environment, group: u64) -> Option<Option<Sharing>> {
    let process = |seal| Sharing { seal, group };
    if node.value().as_text().is_some() {
        let is_shared = node.word(&[("none", false), ("process", true)])?;
        return Some(is_shared.then(|| process(None)));
    }
    let (_, node) = node.variant(&["process"])?;
    let secret = node.fields(&["sealing_secret"])?.required("sealing_secret")?;
    let variable = secret.fields(&["env"])?.required("env")?;
    let secret = words::secret(&variable, environment)?;
    let Some(seal) = Seal::new(&secret) else {
        return variable
            .problem(format_args!("a sealing secret has at least {MIN_SEALING_SECRET_BYTES} bytes"));
    };
    Some(Some(process(Some(Rc::new(seal)))))
}
