//! A failed step: its errno in words, and what usually causes it.

/// `EPERM: operation not permitted`; an errno that has no name here is only a number.
pub fn errno_in_words(errno: i32) -> String {
    const WORDS: [(i32, &str, &str); 30] = [
        (libc::EPERM, "EPERM", "operation not permitted"),
        (libc::ENOENT, "ENOENT", "no such file or directory"),
        (libc::ESRCH, "ESRCH", "no such process"),
        (libc::EINTR, "EINTR", "interrupted by a signal"),
        (libc::EIO, "EIO", "input or output failed"),
        (libc::E2BIG, "E2BIG", "argument list too long"),
        (libc::ENOEXEC, "ENOEXEC", "the kernel knows no way to execute this file"),
        (libc::EBADF, "EBADF", "bad file descriptor"),
        (libc::ECHILD, "ECHILD", "no child process"),
        (libc::EAGAIN, "EAGAIN", "try again: a limit is reached for the moment"),
        (libc::ENOMEM, "ENOMEM", "out of memory"),
        (libc::EACCES, "EACCES", "permission denied"),
        (libc::EBUSY, "EBUSY", "in use"),
        (libc::EEXIST, "EEXIST", "exists already"),
        (libc::EXDEV, "EXDEV", "on another filesystem"),
        (libc::ENODEV, "ENODEV", "the kernel does not have this"),
        (libc::ENOTDIR, "ENOTDIR", "not a directory"),
        (libc::EISDIR, "EISDIR", "is a directory"),
        (libc::EINVAL, "EINVAL", "invalid argument"),
        (libc::ENFILE, "ENFILE", "too many open files on this machine"),
        (libc::EMFILE, "EMFILE", "too many open files in this process"),
        (libc::ETXTBSY, "ETXTBSY", "the program is open for writing"),
        (libc::ENOSPC, "ENOSPC", "no space left, or a limit of the kernel is reached"),
        (libc::EROFS, "EROFS", "read-only filesystem"),
        (libc::EMLINK, "EMLINK", "too many links"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG", "name too long"),
        (libc::ENOSYS, "ENOSYS", "the kernel does not have this system call"),
        (libc::ELOOP, "ELOOP", "too many symbolic links, or one where none is allowed"),
        (libc::EUSERS, "EUSERS", "too many nested namespaces"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP", "not supported here"),
    ];
    match WORDS.iter().find(|(number, ..)| *number == errno) {
        Some((_, name, words)) => format!("{name}: {words}"),
        None => format!("errno {errno}"),
    }
}

/// What usually makes this step fail with this errno, and what to do; `None` when nothing in particular is known.
pub fn hint(step: &str, errno: i32) -> Option<&'static str> {
    use libc::{
        E2BIG, EACCES, EAGAIN, EBUSY, EINVAL, ELOOP, EMFILE, ENFILE, ENODEV, ENOENT, ENOEXEC, ENOMEM, ENOSPC,
        ENOSYS, ENOTDIR, EPERM, EROFS, ETXTBSY, EUSERS, EXDEV,
    };
    Some(match (step, errno) {
        // The same whatever the step.
        (_, ENOSYS) => {
            "the kernel is older than 5.12, or a seccomp filter around barepod hides the call; barepod check --host lists \
             what is there"
        }
        (_, EMFILE | ENFILE) => {
            "the limit of open files is reached: raise it with ulimit -n, or fs.file-max for the machine"
        }

        ("mount", EPERM) => {
            "a filesystem may be mounted only with CAP_SYS_ADMIN over its user namespace; inside another container proc \
             and sysfs are refused while parts of the outer ones are masked: run barepod on the host or in a VM"
        }
        ("mount", EINVAL) => {
            "an option that this filesystem does not know, or a propagation that the source does not have: look at the \
             options in config.json and at dmesg"
        }
        ("mount", ENODEV) => {
            "the kernel does not have this filesystem: cat /proc/filesystems; it may be a module to load with modprobe"
        }
        ("mount", EBUSY) => {
            "the same instance is mounted already with other options (cgroup v1 controllers are, one hierarchy for all): \
             leave the options out"
        }
        ("mount", ENOENT) => {
            "the target cannot be made in the rootfs, or the option names a source that is not there"
        }
        ("mount", ENOTDIR) => {
            "a directory is mounted on a file, or a file on a directory: look at the path in the bundle"
        }
        ("mount", EROFS) => {
            "the mount point is missing and the rootfs is read-only: make it in the bundle's rootfs"
        }
        ("mount" | "mount-rootfs" | "make-cwd" | "mask" | "check-rootfs", ELOOP) => {
            "a symbolic link in the rootfs leads out of it, or in a circle: look at the path with ls -l in the bundle"
        }
        ("mount" | "mount-rootfs" | "scratch" | "volume" | "shared-memory" | "layer", ENOSPC) => {
            "the mount namespace holds as many mounts as fs.mount-max allows: cat /proc/sys/fs/mount-max, and look for a \
             mount that is repeated in /proc/self/mountinfo"
        }
        ("mount" | "mount-rootfs" | "scratch" | "volume" | "shared-memory" | "layer", ENOMEM) => {
            "the memory limit of the pod is too small for its mounts: raise limits.memory"
        }

        ("mount-rootfs", EINVAL) => {
            "overlayfs refuses the layers: the rootfs lies on an overlay itself or on a filesystem without d_type, or upper \
             and work are not on one filesystem; dmesg has the reason"
        }
        ("mount-rootfs", ENODEV) => "the kernel has no overlayfs: modprobe overlay",
        ("mount-rootfs", ENOENT) => {
            "the bundle's rootfs has gone since the pod was started: put it back, the pod tries again"
        }
        ("mount-rootfs", EPERM) => {
            "overlayfs is not allowed in this user namespace: run barepod as the host's root"
        }
        ("mount-rootfs", ENOTDIR) => "the rootfs of the bundle is not a directory: root.path in config.json",

        ("pivot-root", EINVAL) => {
            "the old or the new root is no mount point, is shared, or the machine still runs from its initramfs, which \
             cannot be pivoted: switch_root first"
        }
        ("pivot-root", EBUSY) => "the new root is the current one: root.path of the bundle is /",
        ("pivot-root", EPERM) => "needs CAP_SYS_ADMIN: barepod runs as root, not in a container without it",

        ("join-cgroup", EBUSY) => {
            "the cgroup passes controllers on to children (cgroup v2): such a one may have no processes; look at its \
             cgroup.subtree_control"
        }
        ("join-cgroup", ENOENT) => {
            "the cgroup was removed meanwhile, by hand or by another manager: give barepod a parent of its own with \
             --cgroup-parent"
        }
        ("join-cgroup", EAGAIN) => {
            "pids.max of the cgroup or of one above it is reached: raise it or end processes there"
        }
        ("join-cgroup", ENOSPC) => {
            "a cpuset above has no cpus or mems: write cpuset.cpus and cpuset.mems of the parent first"
        }
        ("join-cgroup" | "cgroup" | "cgroups", EACCES | EPERM | EROFS) => {
            "the cgroup filesystem is read-only or delegated to somebody else: inside another container it usually is"
        }
        ("cgroup" | "cgroups", EBUSY) => {
            "a left-over cgroup of this name has processes in it: cat its cgroup.procs; barepod gc removes what dead pods left"
        }
        ("cgroup" | "cgroups", EINVAL) => {
            "the kernel refuses the value of a limit: it must fit into that of the parent"
        }
        ("cgroup" | "cgroups", ENOENT) => {
            "the parent of the cgroup does not have this controller: look at cgroup.controllers"
        }

        ("unshare-cgroup" | "clone" | "make-process" | "reaper", EPERM) => {
            "new namespaces need CAP_SYS_ADMIN: run barepod as root, outside of containers that lack it"
        }
        ("unshare-cgroup" | "clone" | "make-process" | "reaper", ENOSPC | EUSERS) => {
            "a limit of namespaces is reached: raise user.max_pid_namespaces and its kin in /proc/sys/user, or end pods; \
             PID namespaces nest 32 deep"
        }
        ("clone" | "make-process" | "reaper", EAGAIN) => {
            "no further process is allowed: pids.max of a cgroup, ulimit -u or kernel.pid_max is reached"
        }
        ("clone" | "make-process" | "reaper", ENOMEM) => {
            "no memory for another process, or the first process of the PID namespace is gone and nothing can be born there"
        }
        ("clone" | "make-process" | "reaper", EINVAL) => {
            "the kernel does not know one of the flags, or the namespace belongs to an ancestor: it is older than 5.7"
        }
        ("join-namespace" | "enter" | "enter-pid-namespace", EINVAL) => {
            "the path is of another kind of namespace, or the namespace is gone"
        }
        ("join-namespace" | "enter" | "enter-pid-namespace", EPERM) => {
            "joining needs CAP_SYS_ADMIN over the user namespace that owns it"
        }
        ("join-namespace", ENOENT) => "the process that the path names has ended",

        ("take-sources", ENOENT) => {
            "the host has no such path: make it, or give hostPath a type with OrCreate; a file of the pod itself is \
             missing only after somebody removed it"
        }
        ("take-sources", EACCES | EPERM) => {
            "the path lies behind a mount that root may not look through, such as FUSE or NFS"
        }
        ("take-sources", EINVAL) => "the source is a mount that may not be bound (unbindable)",
        ("take-sources", ELOOP) => "symbolic links of the source go in a circle",

        ("propagation", EINVAL) => {
            "/ is no mount point: barepod was started in a chroot; use a mount namespace instead"
        }
        ("propagation", EPERM) => "needs CAP_SYS_ADMIN: run barepod as root",

        ("exec", ENOENT) => {
            "the program is not in the rootfs under any directory of PATH, or the interpreter it names (#! or the dynamic \
             loader) is not: a dynamic program in a rootfs without libraries says the same"
        }
        ("exec", EACCES) => {
            "the file is not executable for this user, is a directory, or lies on a mount with noexec: chmod +x in the bundle"
        }
        ("exec", ENOEXEC) => {
            "made for another architecture, or a script without #! in its first line: file NAME tells, or name a shell first"
        }
        ("exec", EPERM) => {
            "the file has capabilities or a set-user-ID bit that no_new_privs or the bounding set does not allow"
        }
        ("exec", E2BIG) => "arguments and environment together are too long for the stack limit",
        ("exec", ETXTBSY) => "somebody has the program open for writing at this moment",
        ("exec", ENOMEM) => "the memory limit is too small for the program itself: raise limits.memory",

        ("user", EINVAL) => "the user, group or a supplementary group has no mapping in this user namespace",
        ("user", EPERM) => {
            "changing the user needs CAP_SETUID and CAP_SETGID: barepod itself runs without them"
        }
        ("user", EAGAIN) => "this user has as many processes as its RLIMIT_NPROC allows",
        ("bounding", EPERM) => {
            "dropping from the bounding set needs CAP_SETPCAP: barepod itself runs without it"
        }
        ("capabilities", EPERM) => {
            "a capability is asked for that barepod itself does not have: take it out of capabilities.add, or run barepod \
             with all (a VM of somebody else's, or an outer container, may lack some)"
        }
        ("rlimit", EPERM) => {
            "the hard limit is above barepod's own and CAP_SYS_RESOURCE is missing: lower it in config.json"
        }
        ("rlimit", EINVAL) => "the soft limit is above the hard one",
        ("sysctl", EACCES | EROFS) => {
            "/proc/sys is read-only here, as inside another container: run barepod on the host or in a VM"
        }
        ("sysctl", ENOENT) => {
            "the kernel has no such parameter: its module is not loaded, or the name is misspelt"
        }
        ("sysctl", EINVAL) => "the kernel refuses the value: cat the file to see the form",
        ("device", EPERM) => {
            "making nodes needs CAP_MKNOD, and the device cgroup above must allow it: inside another container it usually \
             does not"
        }
        ("device" | "link", EROFS) => {
            "/dev of the rootfs is read-only: mount a tmpfs on /dev, as other runtimes do"
        }
        ("oom-score-adj", EACCES) => {
            "lowering the value needs CAP_SYS_RESOURCE; a container's is never below what barepod may set"
        }
        ("make-cwd", EROFS) => {
            "the working directory is missing and the rootfs is read-only: make it in the bundle"
        }
        ("cwd", ENOENT) => {
            "something was mounted over the working directory: look at volumeMounts and workingDir"
        }
        ("cwd", EACCES) => {
            "the container's user may not enter its working directory: chmod o+x, or another workingDir"
        }
        ("cwd", ENOTDIR) => "workingDir is a file",
        ("mask" | "readonly-path", EINVAL) => "the path is a symbolic link or a mount that may not be bound",
        ("loopback", EPERM) => "needs CAP_NET_ADMIN over the new network namespace",
        ("hostname", EPERM) => "needs CAP_SYS_ADMIN over the UTS namespace",
        ("hostname", EINVAL) => "the name is longer than 64 bytes",
        ("control", EROFS | ENOSPC) => "the state directory cannot be written to: df and mount on --root",
        ("record" | "spec" | "lock" | "streams", ENOSPC) => {
            "the disk of --root or --log-dir is full: df shows which"
        }
        ("record" | "spec" | "lock" | "streams", EROFS) => {
            "--root or --log-dir lies on a read-only filesystem"
        }
        ("seal", EXDEV | EINVAL) => "the kernel has no memfd with seals: it is older than 3.17",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::plan::sandbox::SandboxStep;

    #[test]
    fn an_errno_is_told_by_name_and_in_words() {
        assert_eq!(errno_in_words(libc::EPERM), "EPERM: operation not permitted");
        assert_eq!(errno_in_words(4711), "errno 4711");
    }

    #[test]
    fn the_common_failures_have_a_hint() {
        use libc::*;
        for (step, errnos) in [
            ("mount", vec![EPERM, EINVAL, ENODEV, EBUSY]),
            ("mount-rootfs", vec![EINVAL, ENODEV, ENOENT]),
            ("pivot-root", vec![EINVAL]),
            ("join-cgroup", vec![EBUSY, ENOENT]),
            ("exec", vec![ENOENT, EACCES, ENOEXEC]),
            ("user", vec![EINVAL, EPERM]),
            ("capabilities", vec![EPERM]),
            ("rlimit", vec![EPERM]),
            ("sysctl", vec![EACCES, ENOENT]),
            ("device", vec![EPERM]),
            ("take-sources", vec![ENOENT]),
            ("cwd", vec![ENOENT]),
            ("clone", vec![ENOSPC, EPERM, EAGAIN]),
        ] {
            for errno in errnos {
                assert!(hint(step, errno).is_some(), "{step} {}", errno_in_words(errno));
            }
        }
        assert_eq!(hint("no-such-step", EPERM), None);
    }

    #[test]
    fn hints_are_for_steps_that_exist() {
        let source = include_str!("hint.rs");
        let table = source
            .split("Some(match (step, errno)")
            .nth(1)
            .unwrap()
            .split("_ => return None")
            .next()
            .unwrap();
        let others = [
            "seal",
            "lock",
            "record",
            "cgroups",
            "clone",
            "layer",
            "spec",
            "cgroup",
            "streams",
            "make-process",
            "enter",
            "enter-pid-namespace",
        ];
        for pattern in table.lines().filter_map(|line| line.trim().strip_prefix('(')) {
            let names = pattern.split(", ").next().unwrap().split(" | ").map(|name| name.trim_matches('"'));
            for name in names.filter(|name| *name != "_") {
                let known = Step::NAMES.contains(&name)
                    || SandboxStep::NAMES.contains(&name)
                    || others.contains(&name);
                assert!(known, "{name}");
            }
        }
    }
}
