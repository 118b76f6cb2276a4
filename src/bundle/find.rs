//! Where the bundle of an `image` may be.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The directories to try, in order. A path (`./x`, `/x`) is taken from the manifest's directory. Of a name the registry
/// and the repository path are cut off; in each directory of `search` it is tried as `NAME:TAG`, then as `NAME`.
pub fn candidates(image: &str, manifest_dir: &Path, search: &[PathBuf]) -> Result<Vec<PathBuf>> {
    ensure!(!image.is_empty(), "image is empty");
    ensure!(!image.contains(char::is_control), "image {image:?}: control characters");
    ensure!(
        !image.split('/').any(|part| part == ".."),
        "image {image:?}: .. is not allowed; use an absolute path, or --bundles DIR"
    );
    ensure!(!image.contains('@'), "image {image:?}: a bundle has no digest to compare; use NAME:TAG");
    if image.starts_with('/') || image.starts_with("./") {
        return Ok(vec![manifest_dir.join(image.strip_prefix("./").unwrap_or(image))]);
    }
    let tagged = image.rsplit('/').next().unwrap_or_default();
    let name = tagged.rsplit_once(':').map_or(tagged, |(name, _)| name);
    // `.` would be the search directory itself.
    ensure!(
        !["", ".", ".."].contains(&name) && ![".", ".."].contains(&tagged),
        "image {image:?}: names no bundle"
    );
    let names = if name == tagged { vec![tagged] } else { vec![tagged, name] };
    Ok(search.iter().flat_map(|directory| names.iter().map(move |name| directory.join(name))).collect())
}
