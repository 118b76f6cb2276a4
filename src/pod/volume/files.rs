//! What a tmpfs volume of the pod begins with: its owner, and the files of a `configMap`, `secret`, `downwardAPI` or
//! `projected` volume, laid out as a kubelet lays them out:
//!
//! ```text
//!   NAME   -> ..data/NAME           what programs open
//!   ..data -> ..2026_01_31_10_00_00.123456789
//!   ..2026_01_31_10_00_00.123456789/NAME
//! ```

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown, lchown, symlink};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use crate::manifest::{Content, Downward, VolumeFile};

/// Fills a fresh volume, which nobody else can reach yet; `mount_points` are directories for other volumes.
pub fn fill(
    place: &Path,
    files: &[VolumeFile],
    mount_points: &[String],
    of: &Downward,
    group: Option<u32>,
    now: SystemTime,
) -> Result<()> {
    let version = version(now);
    let directory = place.join(&version);
    make_directory(&directory, group)?;
    for file in files {
        let path = directory.join(&file.path);
        make_parents(&directory, &file.path, group)?;
        let text;
        let bytes: &[u8] = match &file.content {
            Content::Bytes(bytes) => bytes,
            Content::Field(field) => {
                text = field.value(of);
                text.as_bytes()
            }
            // Its container is always named in a volume.
            Content::Resource(field) => {
                text = field.value(of, "");
                text.as_bytes()
            }
        };
        write(&path, bytes, file.mode, group).with_context(|| format!("write {}", file.path))?;
    }
    link(&version, &place.join("..data"), group)?;
    for file in files {
        let first = file.path.split('/').next().unwrap_or_default();
        let visible = place.join(first);
        // Files in one directory share its link.
        if visible.symlink_metadata().is_err() {
            link(&format!("..data/{first}"), &visible, group)?;
        }
    }
    mount_points.iter().try_for_each(|directory| make_directory(&place.join(directory), group))
}

/// With `fsGroup` a volume belongs to that group, and so does what is made in it.
pub fn own(place: &Path, group: Option<u32>) -> Result<()> {
    let Some(group) = group else { return Ok(()) };
    lchown(place, None, Some(group)).with_context(|| format!("chown {}", place.display()))?;
    // After chown(2), which may clear the bit.
    fs::set_permissions(place, fs::Permissions::from_mode(0o2777))
        .with_context(|| format!("chmod {}", place.display()))
}

/// `..YEAR_MONTH_DAY_HOUR_MINUTE_SECOND.` and digits that no other has.
fn version(now: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(now).to_string();
    let time = time.trim_end_matches('Z').replace(['-', ':', 'T'], "_");
    let nanos = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    format!("..{time}.{nanos:09}")
}

fn make_parents(directory: &Path, path: &str, group: Option<u32>) -> Result<()> {
    for (at, _) in path.match_indices('/') {
        let parent = directory.join(&path[..at]);
        if !parent.exists() {
            make_directory(&parent, group)?;
        }
    }
    Ok(())
}

fn make_directory(path: &Path, group: Option<u32>) -> Result<()> {
    fs::create_dir(path).with_context(|| format!("make {}", path.display()))?;
    let mut mode = 0o755;
    if let Some(group) = group {
        lchown(path, None, Some(group)).with_context(|| format!("chown {}", path.display()))?;
        mode |= 0o2550; // readable for the group, and what is in it belongs to the group
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("chmod {}", path.display()))
}

fn write(path: &Path, bytes: &[u8], mode: u32, group: Option<u32>) -> Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    let mut mode = mode;
    if let Some(group) = group {
        fchown(&file, None, Some(group)).context("chown")?;
        mode |= 0o440; // the volume is read-only
    }
    file.set_permissions(fs::Permissions::from_mode(mode)).context("chmod")
}

fn link(target: &str, place: &Path, group: Option<u32>) -> Result<()> {
    symlink(target, place).with_context(|| format!("link {}", place.display()))?;
    match group {
        Some(group) => lchown(place, None, Some(group)).with_context(|| format!("chown {}", place.display())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_volume_of_files_has_the_links_of_a_kubelet() {
        let place = std::env::temp_dir().join(format!("barepod-files-{}", std::process::id()));
        fs::remove_dir_all(&place).ok(); // left over from a run that was killed
        fs::create_dir_all(&place).unwrap();
        let file = |path: &str, mode| {
            let content = Content::Bytes(path.as_bytes().into());
            VolumeFile { path: path.into(), mode, content }
        };
        let files = [file("a", 0o640), file("d/e/b", 0o400), file("d/c", 0o644)];
        let now = UNIX_EPOCH + Duration::new(1_700_000_000, 5);
        fill(&place, &files, &["d/sub".to_owned(), "z".to_owned()], &Downward::default(), None, now).unwrap();
        let mut names: Vec<_> = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["..2023_11_14_22_13_20.000000005", "..data", "a", "d", "z"]);
        assert!(place.join("..data/d/sub").is_dir());
        assert_eq!(fs::read_link(place.join("..data")).unwrap(), Path::new(&names[0]));
        assert_eq!(fs::read_link(place.join("d")).unwrap(), Path::new("..data/d"));
        assert_eq!(fs::read_to_string(place.join("d/e/b")).unwrap(), "d/e/b");
        let mode = |path: &str| fs::metadata(place.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!([mode("a"), mode("d/e/b"), mode("d/c"), mode("d")], [0o640, 0o400, 0o644, 0o755]);
        fs::remove_dir_all(place).unwrap();
    }
}
