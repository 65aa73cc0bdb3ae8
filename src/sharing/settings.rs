//! Whether and how the threads of a process share, as configured.

use std::rc::Rc;

use super::seal::Seal;

/// Whether and how the threads of a process share. Compiled from the block `sharing`.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// What seals publications, if there is a secret.
    pub seal: Option<Rc<Seal>>,
    /// Whether tokens are published even without a seal, for every module of the `vm_id` to read and to replace.
    pub shares_unsealed_tokens: bool,
    /// Whether the VM has a `vm_id`: without one, every module of the proxy that has none either writes to the same
    /// shared data.
    pub has_vm_id: bool,
    /// Tells one configuration from another: those of a group show one set of gauges.
    pub group: u64,
}

/// What a thread makes of what lies where another thread would have published it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicationUse {
    /// It takes it over as if it had fetched it: it is sealed, or the `vm_id` was given to modules that are trusted
    /// with it.
    Adopt,
    /// It lets it stand for a fetch that would have brought the same bytes, for a while, and believes nothing else of
    /// it: any module of the proxy may have written it.
    Confirm,
}

impl Sharing {
    /// What publications are good for.
    pub fn publication_use(&self) -> PublicationUse {
        if self.seal.is_some() || self.has_vm_id { PublicationUse::Adopt } else { PublicationUse::Confirm }
    }

    /// Whether the threads share tokens, and not only documents that are public.
    pub fn shares_tokens(&self) -> bool {
        self.is_sealed() || (self.shares_unsealed_tokens && self.publication_use() == PublicationUse::Adopt)
    }

    /// Whether only modules with the secret can read what is published, and put anything in its place. Where a client's
    /// secret is sent is shared only so: a module that could say that would get the secret.
    pub fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }
}
