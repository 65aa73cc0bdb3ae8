//! `deploy/istio/wasmplugin.yaml`, changed in one respect.

use anyhow::{Result, ensure};

use super::control_plane::deployed;

/// What is written instead of what the manifest has.
#[derive(Clone)]
pub(crate) struct Plugin {
    policy: Policy,
    url: String,
    /// Further lines of `spec`.
    fields: String,
    annotations: String,
}

/// What the plugin's configuration demands of `GET /orders`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The manifest's own: `orders:read`.
    Good,
    /// `orders:write`.
    Other,
    /// The other policy, with a word in it that there is not.
    Mistaken,
}

impl Plugin {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, url: URL.into(), fields: String::new(), annotations: String::new() }
    }

    /// With an image of the registry.
    pub(crate) fn image(self, image: &str) -> Self {
        self.url(&format!("oci://registry.example.com/{image}"))
    }

    pub(crate) fn url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.url);
        self
    }

    pub(crate) fn sha256(self, digest: &str) -> Self {
        self.field(&format!("sha256: {digest}"))
    }

    /// With a further line of `spec`.
    pub(crate) fn field(mut self, line: &str) -> Self {
        self.fields += &format!("  {line}\n");
        self
    }

    /// As `kubectl annotate` leaves it.
    pub(crate) fn annotated(mut self, value: &str) -> Self {
        self.annotations = format!("  annotations: {{ fetched-again: {value:?} }}\n");
        self
    }

    pub(crate) fn manifest(&self) -> Result<String> {
        let mut text = deployed("istio/wasmplugin.yaml")?;
        let mut replace = |old: &str, new: String| -> Result<()> {
            ensure!(text.contains(old), "deploy/istio/wasmplugin.yaml has no {old:?}");
            text = text.replacen(old, &new, 1);
            Ok(())
        };
        replace("  namespace: orders\n", format!("  namespace: orders\n{}", self.annotations))?;
        replace(&format!("  url: {URL}\n"), format!("  url: {}\n{}", self.url, self.fields))?;
        if self.policy != Policy::Good {
            replace("scopes: [orders:read]", "scopes: [orders:write]".into())?;
        }
        if self.policy == Policy::Mistaken {
            replace("      default: deny\n", "      default: refuse\n".into())?;
        }
        Ok(text)
    }
}

const URL: &str = "oci://registry.example.com/attache:0.1.0";
