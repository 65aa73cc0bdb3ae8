//! The block `sharing`.

use std::rc::Rc;

use super::environment::Environment;
use super::reader::Node;
use super::values;
use crate::sharing::{MIN_SEALING_SECRET_BYTES, Seal, Sharing};

/// `none`, `process`, or `process` with a sealing secret, or with the word that tokens may be shared without one.
pub(super) fn read(node: &Node<'_>, environment: &dyn Environment, group: u64) -> Option<Option<Sharing>> {
    let has_vm_id = environment.has_vm_id();
    let process = |seal, shares_unsealed_tokens| Sharing { seal, shares_unsealed_tokens, has_vm_id, group };
    if node.is_string() {
        let is_shared = node.word(&[("none", false), ("process", true)])?;
        return Some(is_shared.then(|| process(None, false)));
    }
    let (_, node) = node.variant(&["process"])?;
    let fields = node.fields(&["sealing_secret", "tokens"])?;
    let unsealed = fields.or("tokens", false, |node| {
        let unsealed = node.word(&[("unsealed", true)])?;
        if fields.optional("sealing_secret").is_some() {
            return node.problem("tokens are sealed with the sealing secret: leave `tokens` out");
        }
        Some(unsealed)
    })?;
    if unsealed {
        return Some(Some(process(None, true)));
    }
    let variable = values::env(&fields.required("sealing_secret")?)?;
    let secret = values::secret(&variable, environment)?;
    let Some(seal) = Seal::new(&secret) else {
        return variable
            .problem(format_args!("a sealing secret has at least {MIN_SEALING_SECRET_BYTES} bytes"));
    };
    Some(Some(process(Some(Rc::new(seal)), false)))
}
