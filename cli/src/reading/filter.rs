use super::place::Place;
use crate::finding::Location;

/// A filter that a file configures.
#[derive(Clone, Debug)]
pub(crate) struct Filter<'a> {
    /// Where its plugin stands: Envoy's `PluginConfig`, the `spec` of a manifest, or the configuration itself.
    pub(crate) plugin: Place<'a>,
    /// Its configuration.
    pub(crate) config: Place<'a>,
    /// What runs it.
    pub(crate) host: Host,
    /// Where it runs.
    pub(crate) seat: Seat<'a>,
    /// The bootstrap that it is in.
    pub(crate) bootstrap: Option<usize>,
    /// The name of the resource that it is, where Envoy gets it by itself (ECDS).
    pub(super) extension: &'a str,
}

/// What runs a filter, and how it is configured there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Envoy, by its bootstrap, its xDS or an `EnvoyFilter`.
    Envoy,
    /// Istio, by a `WasmPlugin` or a `TrafficExtension`.
    Istio,
    /// Envoy Gateway, by an `EnvoyExtensionPolicy`.
    EnvoyGateway,
    /// The file is the configuration alone.
    Unknown,
}

/// Where a filter runs.
#[derive(Clone, Debug)]
pub(crate) enum Seat<'a> {
    /// In a listener: its entry of `http_filters`, and the place of its manager in the set, if that is there.
    Listener { entry: Option<Place<'a>>, manager: Option<usize> },
    /// In a cluster: its entry of `http_filters`, and the place of the cluster in the set.
    Cluster { entry: Place<'a>, cluster: Option<usize> },
    /// The files do not tell.
    Unknown,
}

impl<'a> Filter<'a> {
    /// What it is called where a person reads of it.
    pub(crate) fn name(&self) -> &'a str {
        let names = ["name", "plugin_name", "root_id", "rootID"];
        names.into_iter().map(|name| self.plugin.text(name)).find(|name| !name.is_empty()).unwrap_or_default()
    }

    pub(crate) fn location(&self) -> Location {
        self.config.location()
    }

    /// Envoy's `vm_config`, if there is one.
    pub(crate) fn vm_config(&self) -> Option<Place<'a>> {
        self.plugin.member("vm_config").filter(|_| self.host == Host::Envoy)
    }

    /// Whether its VM has a `vm_id`; `None` where the file does not tell.
    pub(crate) fn has_vm_id(&self) -> Option<bool> {
        match self.host {
            Host::Envoy => Some(self.vm_config().is_some_and(|vm| !vm.text("vm_id").is_empty())),
            Host::Istio => Some(false),
            // It makes one for each extension of each policy.
            Host::EnvoyGateway => Some(true),
            Host::Unknown => None,
        }
    }

    /// The text of the configuration, where Envoy hands one over as it is.
    pub(crate) fn text(&self) -> Option<&'a str> {
        self.config.as_str()
    }

    /// The entry of `http_filters` that it is.
    pub(crate) fn entry(&self) -> Option<&Place<'a>> {
        match &self.seat {
            Seat::Listener { entry, .. } => entry.as_ref(),
            Seat::Cluster { entry, .. } => Some(entry),
            Seat::Unknown => None,
        }
    }

    /// The place of the manager that it is in.
    pub(crate) fn manager(&self) -> Option<usize> {
        if let Seat::Listener { manager, .. } = self.seat { manager } else { None }
    }
}
