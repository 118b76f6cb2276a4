//! Where a container's cgroup is: `linux.cgroupsPath` (runtime-spec "Cgroups Path"), as runc and crun read it.
//!
//! | given | without systemd | with systemd |
//! |---|---|---|
//! | nothing | `/ID`, as with crun and youki | `system.slice:barepod-oci:ID` |
//! | `/a/b` | `/a/b` below the root of each hierarchy | refused |
//! | `a/b` | the same | refused |
//! | `slice:prefix:name` | refused | the scope `prefix-name.scope` in that slice |
//!
//! A relative path starts at the root, too. runc takes it below the cgroup of the process that calls it, which is another
//! one for each caller; the specification asks for the same place on each call.

use anyhow::{Context, Result, ensure};

use super::scope::{self, Scope};

/// The prefix of the scopes for which no name was given.
const OWN: &str = "barepod-oci";

/// The place of a container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A cgroup that the runtime makes, below the root of the hierarchy, for [`super::Cgroup::new`]. Its parents are the
    /// engine's.
    Path(String),
    /// A scope that systemd makes ([`super::systemd`]).
    Scope(Scope),
}

impl Place {
    /// The cgroup's path below the root of the hierarchy.
    pub fn path(&self) -> &str {
        match self {
            Place::Path(path) => path,
            Place::Scope(scope) => &scope.path,
        }
    }
}

/// Where the container `id` has its cgroup. `given` is the specification's `cgroupsPath`, `systemd` the option
/// `--systemd-cgroup`.
pub fn place(given: Option<&str>, id: &str, systemd: bool) -> Result<Place> {
    let given = given.filter(|given| !given.is_empty());
    if systemd {
        let scope = match given {
            None => scope::scope("", OWN, id),
            Some(given) => {
                let parts: Vec<&str> = given.split(':').collect();
                let parts: Result<[&str; 3], _> = parts.try_into();
                let [slice, prefix, name] =
                    parts.ok().context("with systemd it must have the form slice:prefix:name")?;
                scope::scope(slice, prefix, name)
            }
        };
        return scope.map(Place::Scope).with_context(|| about(given));
    }
    let path = given.map_or_else(|| Ok(id.to_owned()), plain);
    path.map(Place::Path).with_context(|| about(given))
}

fn about(given: Option<&str>) -> String {
    format!("linux.cgroupsPath {:?}", given.unwrap_or_default())
}

fn plain(given: &str) -> Result<String> {
    ensure!(
        given.starts_with('/') || given.split(':').count() != 3,
        "this is the form slice:prefix:name of systemd: give --systemd-cgroup"
    );
    let parts: Vec<&str> = given.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    ensure!(!parts.is_empty(), "the root of the hierarchy belongs to the host");
    ensure!(!parts.contains(&".."), "it must not go up");
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(given: &str) -> Result<String> {
        Ok(place(Some(given), "id", false)?.path().to_owned())
    }

    #[test]
    fn an_absolute_path_is_below_the_root_and_so_is_a_relative_one() {
        for given in ["/a/b", "a/b"] {
            assert_eq!(place(Some(given), "id", false).unwrap(), Place::Path("a/b".to_owned()));
        }
        assert_eq!(path("//a/./b/").unwrap(), "a/b", "as paths are written");
        assert_eq!(path("/a:b:c").unwrap(), "a:b:c", "a colon may stand in a name");
    }

    #[test]
    fn without_a_path_it_has_the_name_of_the_container() {
        for given in [None, Some("")] {
            assert_eq!(place(given, "web", false).unwrap(), Place::Path("web".to_owned()));
        }
    }

    #[test]
    fn paths_that_name_the_root_or_leave_it_are_refused() {
        for bad in ["/", "//", ".", "/..", "../a", "/a/../../b", "a/.."] {
            let error = format!("{:#}", path(bad).unwrap_err());
            assert!(error.starts_with("linux.cgroupsPath"), "{error}");
        }
    }

    #[test]
    fn the_form_of_systemd_is_taken_with_systemd_only_and_nothing_else_then() {
        let Place::Scope(scope) = place(Some("machine.slice:libpod:4f"), "id", true).unwrap() else {
            panic!()
        };
        assert_eq!(
            (scope.unit.as_str(), scope.slice.as_str(), scope.path.as_str()),
            ("libpod-4f.scope", "machine.slice", "machine.slice/libpod-4f.scope")
        );
        let error = format!("{:#}", path("machine.slice:libpod:4f").unwrap_err());
        assert!(error.contains("--systemd-cgroup"), "{error}");
        for bad in ["/a/b", "a/b", "a:b", "a:b:c:d"] {
            let error = format!("{:#}", place(Some(bad), "id", true).unwrap_err());
            assert!(error.contains("slice:prefix:name"), "{error}");
        }
    }

    #[test]
    fn without_a_path_systemd_gets_a_scope_of_our_own_name() {
        let place = place(None, "web", true).unwrap();
        assert_eq!(place.path(), "system.slice/barepod-oci-web.scope");
    }
}
