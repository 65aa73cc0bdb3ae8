//! Puts the module into an image for registries: `attache-image MODULE DIRECTORY`.
//!
//! No container engine is needed. The bytes follow from the module and `Cargo.lock` alone: there is no time, no user
//! and no random number in them, so each build of the same source has an image of the same digest.

/// The OCI image layout.
mod layout;
/// The list of crates.
mod sbom;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use self::layout::{Descriptor, Layout};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let [module, directory] = [arguments.next(), arguments.next()].map(Option::unwrap_or_default);
    ensure!(!directory.is_empty() && arguments.next().is_none(), "usage: attache-image MODULE DIRECTORY");
    let module = fs::read(&module).with_context(|| format!("{module} cannot be read"))?;
    let image =
        build(&module, Path::new(&directory)).with_context(|| format!("{directory}: no image came about"))?;
    writeln!(std::io::stdout(), "{}", image.digest)?;
    Ok(())
}

/// Writes the image and its list of crates, each as a layout that one `crane push` takes, and both as one archive.
fn build(module: &[u8], directory: &Path) -> Result<Descriptor> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    let crates = sbom::of_module(module)?;
    let image = |layout: &mut Layout| layout.image(module);
    let list = |layout: &mut Layout, subject: &Descriptor| layout.attach(subject, sbom::MEDIA_TYPE, &crates);

    let mut alone = Layout::default();
    let subject = image(&mut alone)?;
    alone.write(&directory.join("attache"))?;
    let mut attached = Layout::default();
    list(&mut attached, &subject);
    attached.write(&directory.join("sbom"))?;
    let mut both = Layout::default();
    image(&mut both)?;
    list(&mut both, &subject);
    both.archive(&directory.join("attache.oci.tar"))?;
    fs::write(directory.join("attache.cdx.json"), &crates)?;
    Ok(subject)
}
