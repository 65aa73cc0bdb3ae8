//! What a file says of a cluster that tokens go to.

use std::path::Path;

use crate::reading::{read, read_file};

/// Whether the operator asserts, in the metadata of this cluster, that connections to it use TLS; `None` where the file
/// does not hold the cluster.
pub fn asserts_tls(path: &Path, name: &str) -> Option<bool> {
    // Standard input has been read already.
    if path == Path::new("-") {
        return None;
    }
    let file = read_file(path);
    let set = read(core::slice::from_ref(&file));
    let cluster = set.clusters.iter().find(|cluster| cluster.name() == name)?;
    let metadata = cluster.place.at(&["metadata", "filter_metadata", "attache"]);
    Some(metadata.is_some_and(|metadata| metadata.text("tls") == "asserted"))
}
