//! See docs/configuration.md.
