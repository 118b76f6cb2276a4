//! What lies in volumes: files of a configMap and its kin, the group that owns them, paths of the host, parts of volumes.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::writer::Writer;
use crate::explain::pod::Story;
use crate::explain::shell;
use crate::manifest::expand::expand;
use crate::manifest::{Container, Content, HostPathType, SubPath, Volume, VolumeSource, env};
use crate::plan::sandbox::mount_points;

/// What a fresh tmpfs volume begins with, laid out behind links as a kubelet does it.
pub fn fill(out: &mut Writer, story: &Story, name: &str) {
    let pod = story.pod;
    let place = story.scratch.join("volumes").join(name);
    let group = pod.security.fs_group;
    if let Some(group) = group {
        let place = shell::path(&place);
        out.line(&format!("chgrp {group} {place}"));
        out.line(&format!("chmod 2777 {place}"));
    }
    let volume = pod.volumes.iter().find(|volume| volume.name == name);
    let Some(volume @ Volume { source: VolumeSource::Files(files), .. }) = volume else { return };
    let downward = story.downward();
    let data = place.join("..by_hand");
    out.line(&format!("mkdir {}", shell::path(&data)));
    let mut made = BTreeSet::new();
    for file in files {
        for (at, _) in file.path.match_indices('/') {
            if made.insert(&file.path[..at]) {
                out.line(&format!("mkdir {}", shell::path(&data.join(&file.path[..at]))));
            }
        }
        let path = shell::path(&data.join(&file.path));
        let text;
        let bytes: &[u8] = match &file.content {
            Content::Bytes(bytes) => bytes,
            Content::Field(field) => {
                text = field.value(&downward);
                text.as_bytes()
            }
            Content::Resource(field) => {
                text = field.value(&downward, "");
                text.as_bytes()
            }
        };
        match std::str::from_utf8(bytes).ok().filter(|text| !text.contains(['\0', '\r'])) {
            Some(text) => out.line(&format!("printf '%s' {} >{path}", shell::word(text))),
            None => out.line(&format!("base64 -d <<<{} >{path}", base64(bytes))),
        }
        let mode = if group.is_some() { file.mode | 0o440 } else { file.mode };
        out.line(&format!("chmod {mode:o} {path}"));
    }
    out.line(&format!("ln -s ..by_hand {}", shell::path(&place.join("..data"))));
    let first: BTreeSet<&str> = files.iter().filter_map(|file| file.path.split('/').next()).collect();
    for name in first {
        out.line(&format!(
            "ln -s {} {}",
            shell::word(&format!("..data/{name}")),
            shell::path(&place.join(name))
        ));
    }
    for directory in mount_points(pod, volume) {
        let directory = shell::path(&place.join(directory));
        out.line(&format!("mkdir {directory}"));
        if let Some(group) = group {
            out.line(&format!("chgrp {group} {directory}"));
            out.line(&format!("chmod 2755 {directory}"));
        }
    }
    if let Some(group) = group {
        out.line(&format!("chgrp -hR {group} {}", shell::path(&data)));
        out.line(&format!("find {} -type d -exec chmod 2755 {{}} +", shell::path(&data)));
        out.line(&format!("find {} -type l -exec chgrp -h {group} {{}} +", shell::path(&place)));
    }
}

/// Makes, or looks for, what the host is to have.
pub fn host_paths(out: &mut Writer, story: &Story, container: &Container) {
    let used = |name: &str| container.mounts.iter().any(|mount| mount.volume == name);
    for volume in story.pod.volumes.iter().filter(|volume| used(&volume.name)) {
        let VolumeSource::HostPath { path, kind } = &volume.source else { continue };
        let path = shell::word(path);
        let (test, what) = match kind {
            HostPathType::Any => ("-e", "there"),
            HostPathType::Directory | HostPathType::DirectoryOrCreate => ("-d", "a directory"),
            HostPathType::File | HostPathType::FileOrCreate => ("-f", "a file"),
            HostPathType::Socket => ("-S", "a socket"),
            HostPathType::CharDevice => ("-c", "a character device"),
            HostPathType::BlockDevice => ("-b", "a block device"),
        };
        out.note(&format!("Volume {}, of the host.", volume.name));
        match kind {
            HostPathType::Any => out.line(&format!("[ -e {path} ] || mkdir -p {path}")),
            HostPathType::DirectoryOrCreate => out.line(&format!("mkdir -p {path}")),
            HostPathType::FileOrCreate => {
                out.line(&format!("[ -e {path} ] || install -m 644 /dev/null {path}"));
            }
            _ => {}
        }
        out.line(&format!(
            "[ {test} {path} ] || die {}",
            shell::word(&format!("hostPath of volume {} is not {what}", volume.name))
        ));
    }
}

/// `subPath`: each part of a volume is bound at a place of the pod's own.
pub fn parts(out: &mut Writer, story: &Story, container: &Container) -> Result<()> {
    let downward = story.downward();
    let variables = env::variables(container, &downward);
    for (at, mount) in container.mounts.iter().enumerate() {
        let path = match &mount.sub_path {
            None => continue,
            Some(SubPath::Plain(path)) => path.clone(),
            Some(SubPath::Expression(path)) => expand(path, |name| variables.get(name)),
        };
        ensure!(path.len() < 4096, "subPath of {} is longer than a path can be", container.name);
        ensure!(
            !path.split('/').any(|name| name == ".."),
            "subPath {path} of {} leads upwards",
            container.name
        );
        let volume = story.volume(&mount.volume);
        let place = story.scratch.join("parts").join(&container.name).join(at.to_string());
        let (part, place) = (shell::path(&volume.join(&path)), shell::path(&place));
        let volume = shell::path(&volume);
        out.note(&format!(
            "Mount {}: a part of volume {}, which must not lead out of it.",
            at + 1,
            mount.volume
        ));
        out.line(&format!(
            "[ \"$(realpath -m {part})\" = \"$(realpath {volume})\"/{} ] || die {}",
            shell::word(path.trim_matches('/')),
            shell::word(&format!("subPath {path} of {} leads through a symbolic link", container.name))
        ));
        out.note("What is not there is made with the rights of the volume.");
        let umask = format!("umask \"$(printf %o $((0777 & ~0$(stat -c %a {volume}))))\"");
        out.line(&format!("[ -e {part} ] || ({umask} && mkdir -p {part})"));
        out.line(&format!("NEW={} mount_point {part} {place}", shell::path(&story.scratch.join("parts"))));
        out.line(&format!("mount --rbind {part} {place}"));
    }
    Ok(())
}

/// RFC 4648, with padding, in lines of any length.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number =
            three.iter().chain([0, 0].iter()).take(3).fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place)) as usize & 63] as char;
            text.push(if place > three.len() { '=' } else { letter });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
