//! Why each step is there, and why where it is; the manual pages to read beside it.

/// A reason and its manual pages.
pub type Reason = (&'static str, &'static [&'static str]);

/// A step of `barepod run` or of the pod init outside of the two lists of the plan.
pub fn of_pod(step: &str) -> Reason {
    match step {
        "seal" => (
            "what enters a container must not be a file that a container could overwrite through /proc/PID/exe \
             (CVE-2019-5736), so it comes before everything else; the program is mapped again from a mount that \
             nobody can find or change",
            &["open_tree(2)", "mount_setattr(2)", "mmap(2)", "prctl(2)"],
        ),
        "read" => (
            "every problem is found before anything is made, so that a refused manifest leaves nothing behind",
            &["open(2)", "read(2)"],
        ),
        "lock" => (
            "from here on nobody else can make or remove a pod of this name; the lock belongs to the open file, so the \
             pod init inherits it, and whether it is held says whether the pod lives",
            &["fcntl_locking(2)", "open(2)"],
        ),
        "record" => (
            "written before anything else is made, so that whoever comes after a crash knows where to look",
            &["rename(2)", "mkdir(2)"],
        ),
        "cgroups" => (
            "limits are in place before there is a process that could exceed them: one cgroup for all containers with \
             the pod's limits, one beside it, without limits, for the pod init",
            &["cgroups(7)", "mkdir(2)"],
        ),
        "clone" => (
            "the sandbox is made by making this process: it is PID 1 of the pod, and when it dies the kernel takes \
             every process, mount and namespace of the pod away",
            &["clone(2)", "namespaces(7)", "pid_namespaces(7)", "network_namespaces(7)"],
        ),
        "let-go" => (
            "the pod init is now the only holder of the lock: it is free exactly when the pod init is gone",
            &["close(2)", "fcntl_locking(2)"],
        ),
        "supervise" => (
            "the sandbox is complete: from here on the pod init waits for what happens and does what follows; a signal \
             reaches the first process of a PID namespace only when it asks for it",
            &["signalfd(2)", "poll(2)", "pid_namespaces(7)"],
        ),
        "gate" => ("the order of starts is the kubelet's", &[]),
        "layer" => (
            "one bundle serves many containers, so each gets a writable layer of its own; on a tmpfs inside the pod, so \
             that nothing of it is left when the pod is gone",
            &["tmpfs(5)", "fsopen(2)", "move_mount(2)"],
        ),
        "accounts" => (
            "a user is a number; its groups and its home directory stand in the image's own files, which are looked up inside \
             of the image and nowhere else",
            &["passwd(5)", "group(5)", "openat2(2)"],
        ),
        "spec" => (
            "the final OCI runtime spec is kept for whoever wants to look, and for exec",
            &["open(2)", "rename(2)"],
        ),
        "cgroup" => (
            "made and limited before the process is, which is then accounted to it from its first step on; every limit \
             is read back, because the kernel rounds",
            &["cgroups(7)", "mkdir(2)"],
        ),
        "streams" => (
            "output goes through pipes to the pod init, which writes the log; input is /dev/null",
            &["pipe(2)", "pipe(7)"],
        ),
        "make-process" => (
            "born in new PID and mount namespaces; network, IPC and host name are those of the pod init, because they \
             are not asked for anew: that is what containers of a pod share. The pipe closes at execve, which tells \
             that all steps have succeeded",
            &["clone(2)", "pid_namespaces(7)", "mount_namespaces(7)", "pipe(2)"],
        ),
        "enter-pid-namespace" => (
            "a PID namespace is joined by being born into it; a helper joins and makes the child as a sibling \
             (CLONE_PARENT), because the pod init itself must never be inside",
            &["setns(2)", "pid_namespaces(7)", "clone(2)"],
        ),
        "take-streams" => (
            "what the parent had open is closed first thing: whoever shares a PID namespace with the child could look \
             at it. Pipes are given to the container's user, so that it can open /dev/stdout",
            &["close_range(2)", "dup(2)", "chown(2)"],
        ),
        "shut-in" => (
            "containers see this process, so it is a program of its own, without capabilities, in an empty root, with \
             nothing of the pod init's memory",
            &["pid_namespaces(7)", "pivot_root(2)", "execveat(2)"],
        ),
        "hook" | "probe" => (
            "the pod init never waits and never joins a container itself: a helper does, in a process of its own",
            &["setns(2)", "clone(2)", "pidfd_open(2)"],
        ),
        "request" => (
            "it runs in the pod's network namespace, because the pod init does; a process of its own, because the pod \
             init waits for nothing but its event loop",
            &["clone(2)", "network_namespaces(7)", "connect(2)"],
        ),
        "enter" => (
            "one setns(2) with a pidfd joins all namespaces of the container at once; non-dumpable first, so that \
             nobody inside can look into it (CVE-2016-9962)",
            &["setns(2)", "prctl(2)", "clone(2)"],
        ),
        "enter-cgroup" => (
            "through descriptors opened outside: inside, the cgroup filesystem is read-only. The command is accounted \
             to its container",
            &["cgroups(7)"],
        ),
        "term" => (
            "first processes get the chance to end by themselves; a pidfd cannot name another process that has got the \
             same number meanwhile",
            &["pidfd_send_signal(2)", "signal(7)"],
        ),
        "kill" => (
            "nothing of the pod outlives its grace period; SIGKILL to the first process takes its PID namespace along, the \
             cgroup has what is not in one",
            &["pidfd_send_signal(2)", "signal(7)", "cgroups(7)"],
        ),
        "clear" | "kill-rest" => (
            "an instance has ended only when everything in its cgroup has: a process that its first process left \
             behind is killed too",
            &["cgroups(7)", "rmdir(2)", "pidfd_send_signal(2)"],
        ),
        "end" => (
            "the record is final; then the pod init exits, and the kernel takes down what is left: processes with the \
             PID namespace, mounts with the mount namespace, lo with the network namespace",
            &["pid_namespaces(7)", "mount_namespaces(7)", "rmdir(2)"],
        ),
        "clean-up" => (
            "the pod init cannot remove the cgroup that it is in; whoever sees it end does: stop, rm, gc, or run in the \
             foreground",
            &["cgroups(7)", "rmdir(2)"],
        ),
        _ => ("", &[]),
    }
}

/// A step of the pod init.
pub fn of_sandbox(step: &str) -> Reason {
    match step {
        "detach" => (
            "no terminal may stop or kill the pod, and nothing of the caller's stays open; first, so that nothing below \
             can leak into it",
            &["setsid(2)", "dup(2)", "close_range(2)", "umask(2)"],
        ),
        "join-cgroup" => (
            "on cgroup v1 a process is not born in its cgroups; before anything is mounted, because what a tmpfs holds \
             is charged to its writer",
            &["cgroups(7)"],
        ),
        "propagation" => (
            "mounts and unmounts of the host still arrive, those of the pod never leave; before the first mount",
            &["mount(2)", "mount_namespaces(7)"],
        ),
        "oom-score-adj" => (
            "when memory runs out containers die before the pod init; allowed to fail",
            &["proc_pid_oom_score_adj(5)"],
        ),
        "hostname" => {
            ("the UTS namespace is new, so the host keeps its name", &["sethostname(2)", "uts_namespaces(7)"])
        }
        "loopback" => (
            "a new network namespace has only lo, and it is down; the second socket proves that 127.0.0.1 is there",
            &["netdevice(7)", "network_namespaces(7)"],
        ),
        "sysctl" => (
            "kernel parameters of the pod's own namespaces. First any user of the pod may listen on ports below 1024, as \
             under containerd; then the manifest's, so that they win",
            &["ip(7)", "proc_sys(5)"],
        ),
        "scratch" => (
            "writable layers and generated files lie on a tmpfs that only the pod's mount namespace has: nothing of \
             them is left when it goes. At most the pod's memory limit, since what is in it is memory",
            &["tmpfs(5)", "fsopen(2)", "move_mount(2)", "mount_setattr(2)"],
        ),
        "volume" => (
            "emptyDir is a tmpfs inside the pod whatever its medium says, so that a crash leaves nothing; what is in it \
             is memory of the container that wrote it. A kubelet takes a directory of the host's disk: this is the one \
             deliberate difference. Shared, so that mounts in it can pass between containers",
            &["tmpfs(5)", "mount_namespaces(7)"],
        ),
        "shared-memory" => (
            "POSIX shared memory goes with the IPC namespace, which the pod's containers share; 64 MiB, as under \
             containerd",
            &["shm_overview(7)", "ipc_namespaces(7)"],
        ),
        "etc-files" => (
            "the pod's own name leads to its own address, which is 127.0.0.1 with loopback only",
            &["hosts(5)", "resolv.conf(5)"],
        ),
        "reaper" => (
            "shareProcessNamespace: the containers share a PID namespace, whose first process must reap orphans; the \
             pod init stays outside, where no container sees it",
            &["pid_namespaces(7)", "clone(2)"],
        ),
        "control" => (
            "stop, kill and debug talk to this socket; last, so that whoever can connect finds a complete sandbox",
            &["unix(7)"],
        ),
        _ => ("", &[]),
    }
}

/// A step of a container's child process.
pub fn of_container(step: &str) -> Reason {
    match step {
        "reset-process" => (
            "ignored signals and the umask would survive execve; first, so that no step runs with the parent's",
            &["sigaction(2)", "setsid(2)", "umask(2)"],
        ),
        "join-cgroup" => (
            "everything after this is accounted to the container, and the cgroup namespace takes its root from where \
             the process is when it is made; tasks, because writing to cgroup.procs can take 15 ms on v1",
            &["cgroups(7)"],
        ),
        "unshare-cgroup" => (
            "after the move: the container's own cgroup becomes the root of what it sees",
            &["unshare(2)", "cgroup_namespaces(7)"],
        ),
        "join-namespace" => ("the spec names a namespace that exists", &["setns(2)", "namespaces(7)"]),
        "hostname" | "domainname" => {
            ("belongs to the UTS namespace just made or joined", &["sethostname(2)", "uts_namespaces(7)"])
        }
        "take-sources" => (
            "sources are opened while the host's tree is whole, and before a path of this rootfs exists that a \
             neighbour could race with",
            &["open_tree(2)", "mount_namespaces(7)"],
        ),
        "propagation" => (
            "what is mounted below must not show outside; before the first mount",
            &["mount(2)", "mount_namespaces(7)"],
        ),
        "mount-rootfs" => (
            "pivot_root wants a mount point, and the bundle stays as it is: writes go to the container's own upper \
             layer. Layers are named by descriptor, because overlayfs splits its options at : and ,",
            &["fsopen(2)", "fsmount(2)", "move_mount(2)", "mount_setattr(2)"],
        ),
        "check-rootfs" => (
            "a symlink there would make the next steps work on the place that it points to (CVE-2026-41579); before the \
             first mount below the new root",
            &["openat(2)"],
        ),
        "mount" => (
            "made detached, given its attributes, then attached at a place that is held open: no path is looked up twice, \
             and no lookup leaves the new root (CVE-2021-30465)",
            &["mount(2)", "fsopen(2)", "mount_setattr(2)", "move_mount(2)", "openat2(2)"],
        ),
        "device" => (
            "the fresh /dev is empty; nodes are made, not bound, and the device cgroup says which may be used",
            &["mknod(2)", "null(4)"],
        ),
        "link" => ("programs expect it in /dev", &["symlink(2)"]),
        "terminal" => (
            "a pseudoterminal of the container's own devpts, so that it has a name there: its standard streams, its \
             controlling terminal and /dev/console; the other end goes to whoever shows it. After the mounts, before /dev \
             may become read-only",
            &["pty(7)", "ioctl_tty(2)", "unix(7)"],
        ),
        "make-cwd" => {
            ("the working directory must be there before the root may become read-only", &["mkdir(2)"])
        }
        "mask" => (
            "hides what tells about the host; after all mounts, since a mask must lie on top",
            &["move_mount(2)", "tmpfs(5)", "null(4)"],
        ),
        "readonly-path" => (
            "what a container may read but not change; a read-only bind of the path on itself, on top of everything",
            &["open_tree(2)", "mount_setattr(2)"],
        ),
        "sysctl" => ("kernel parameters of namespaces that the container has", &["proc_sys(5)"]),
        "finish-readonly" => (
            "mounts that mount points and device nodes had to be put into first, then the root",
            &["mount_setattr(2)"],
        ),
        "oom-score-adj" => (
            "set in any case, because the pod init's would be inherited; through the host's procfs, so before the pivot",
            &["proc_pid_oom_score_adj(5)"],
        ),
        "pivot-root" => (
            "the new root replaces the old one, which is detached: the host's files are out of reach from here on. \
             chroot(2) would leave a way back",
            &["pivot_root(2)", "umount(2)", "mount_namespaces(7)"],
        ),
        "rlimit" => ("while the process may still raise its own limits", &["setrlimit(2)"]),
        "bounding" => (
            "no program can ever get back what is dropped here; needs CAP_SETPCAP, so it comes before the user",
            &["capabilities(7)", "prctl(2)"],
        ),
        "user" => (
            "groups first, user last: in the order in which each is still allowed; PR_SET_KEEPCAPS carries the \
             permitted set over",
            &["setgroups(2)", "setresuid(2)", "credentials(7)", "umask(2)"],
        ),
        "capabilities" => (
            "changing the user has cleared the sets, so they come after it; ambient last, since it may hold only what \
             is permitted and inheritable",
            &["capabilities(7)", "capset(2)", "prctl(2)"],
        ),
        "no-new-privileges" => (
            "set-user-ID programs gain nothing from here on; nothing after it has to gain a privilege",
            &["prctl(2)", "execve(2)"],
        ),
        "seccomp" => (
            "the kernel asks this program about every further system call; after no_new_privs, without which it takes \
             CAP_SYS_ADMIN and comes before the capabilities go",
            &["seccomp(2)"],
        ),
        "cwd" => (
            "as the container's own user, so that its rights count; checked to be inside the root (CVE-2024-21626)",
            &["chdir(2)", "getcwd(3)"],
        ),
        "exec" => (
            "everything from descriptor 3 on closes at execve, the report pipe too: the pod init reads end of file and \
             knows that the program runs",
            &["close_range(2)", "execve(2)"],
        ),
        _ => ("", &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::plan::sandbox::SandboxStep;

    #[test]
    fn every_step_has_a_reason_and_a_manual_page() {
        for name in Step::NAMES {
            assert!(!of_container(name).0.is_empty() && !of_container(name).1.is_empty(), "{name}");
        }
        for name in SandboxStep::NAMES {
            assert!(!of_sandbox(name).0.is_empty() && !of_sandbox(name).1.is_empty(), "{name}");
        }
    }
}
