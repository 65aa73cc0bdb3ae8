//! An [OCI image layout](https://github.com/opencontainers/image-spec/blob/main/image-layout.md), and what is in it:
//! the image that Istio's agent and Envoy Gateway read, and what refers to it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Files by their paths, in the order in which they are archived.
#[derive(Default)]
pub(crate) struct Layout {
    files: BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
}

/// What names some bytes.
#[derive(Clone)]
pub(crate) struct Descriptor {
    media_type: &'static str,
    pub(crate) digest: String,
    size: usize,
}

impl Layout {
    /// Adds an image of one layer, which has the module at its root.
    pub(crate) fn image(&mut self, module: &[u8]) -> Result<Descriptor> {
        let layer = archive([("plugin.wasm", module)])?;
        // Neither a name nor a time in its header.
        let mut compressor = GzBuilder::new().write(Vec::new(), Compression::best());
        compressor.write_all(&layer)?;
        let compressed = compressor.finish()?;
        let config = json!({
            "architecture": "wasm",
            "os": "wasip1",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
        let layer = self.blob("application/vnd.oci.image.layer.v1.tar+gzip", compressed);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.json(),
            "layers": [layer.json()],
            "annotations": {
                "org.opencontainers.image.title": "attache",
                "org.opencontainers.image.description": "OAuth 2.0 in Envoy: a proxy-wasm filter",
                "org.opencontainers.image.version": VERSION,
                "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
            },
        });
        let image = self.blob(MANIFEST, manifest.to_string().into_bytes());
        self.manifests
            .push(image.listed("annotations", json!({ "org.opencontainers.image.ref.name": VERSION })));
        Ok(image)
    }

    /// Adds a document about an image, which registries list as one of its referrers.
    pub(crate) fn attach(&mut self, subject: &Descriptor, media_type: &'static str, document: &[u8]) {
        let config = self.blob("application/vnd.oci.empty.v1+json", b"{}".to_vec());
        let document = self.blob(media_type, document.to_vec());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": media_type,
            "config": config.json(),
            "layers": [document.json()],
            "subject": subject.json(),
        });
        let manifest = self.blob(MANIFEST, manifest.to_string().into_bytes());
        self.manifests.push(manifest.listed("artifactType", json!(media_type)));
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory.join(BLOBS))?;
        for (path, bytes) in self.finish() {
            fs::write(directory.join(path), bytes)?;
        }
        Ok(())
    }

    pub(crate) fn archive(&self, file: &Path) -> Result<()> {
        let files = self.finish();
        Ok(fs::write(file, archive(files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())))?)?)
    }

    fn finish(&self) -> BTreeMap<String, Vec<u8>> {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": self.manifests,
        });
        let mut files = self.files.clone();
        files.insert("index.json".to_owned(), index.to_string().into_bytes());
        files.insert(
            "oci-layout".to_owned(),
            json!({ "imageLayoutVersion": "1.0.0" }).to_string().into_bytes(),
        );
        files
    }

    fn blob(&mut self, media_type: &'static str, bytes: Vec<u8>) -> Descriptor {
        let descriptor = Descriptor { media_type, digest: digest(&bytes), size: bytes.len() };
        self.files.insert(format!("{BLOBS}/{}", descriptor.digest.trim_start_matches("sha256:")), bytes);
        descriptor
    }
}

impl Descriptor {
    fn json(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size })
    }

    /// As an index lists it, with one field more.
    fn listed(&self, field: &str, value: Value) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size, field: value })
    }
}

/// An archive of files of no time and no owner.
fn archive<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len().try_into()?);
        archive.append_data(&mut header, path, bytes)?;
    }
    Ok(archive.into_inner()?)
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

const BLOBS: &str = "blobs/sha256";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The filter's own: all packages of the workspace have one.
const VERSION: &str = env!("CARGO_PKG_VERSION");
