/// Where secrets that the configuration names come from.
pub trait Environment {
    /// The value of a variable, if it is set.
    fn variable(&self, name: &str) -> Option<String>;

    /// Whether the VM has a `vm_id`: without one, any module of the proxy may write the shared data that its threads
    /// read. An environment that cannot tell says `false`.
    fn has_vm_id(&self) -> bool {
        false
    }

    /// The name that the operator gave to the filter, if that is known.
    fn plugin_name(&self) -> Option<String> {
        None
    }
}

/// No variable is set.
#[cfg(not(target_os = "wasi"))]
pub(super) struct NoVariables;

#[cfg(not(target_os = "wasi"))]
impl Environment for NoVariables {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }
}
