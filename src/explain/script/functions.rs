//! What repeats in a script: functions that say in a word what takes several lines.

use std::path::{Path, PathBuf};

use super::writer::Writer;
use crate::explain::container::{Place, State, commands};
use crate::explain::pod::Story;
use crate::explain::shell;
use crate::plan::Step;

/// All of them, as this pod and this machine need them.
pub fn all(out: &mut Writer, story: &Story) {
    out.raw(GENERAL.trim());
    out.raw("");
    let has = |(_, controllers): &&(PathBuf, Vec<String>)| controllers.iter().any(|one| one == "freezer");
    let freezer = story.host.hierarchies.iter().find(has).map(|(point, _)| shell::path(point));
    let cgroups = if story.host.v2 { CGROUP_V2 } else { CGROUP_V1 };
    out.raw(&cgroups.trim().replace("FREEZER", &freezer.unwrap_or_default()));
    out.raw("");
    out.raw(REMOVE.trim());
    out.raw("");
    let argument = Path::new("$1").to_owned();
    body(out, "mask PATH: hides what is at a path of the new root", "mask", &Step::Mask(argument.clone()));
    let step = Step::ReadonlyPath(argument);
    body(out, "read_only PATH: protects what is at a path of the new root", "read_only", &step);
    out.raw(TOOLS.trim());
    out.raw("");
    let start = match story.pod.share_process_namespace {
        // A PID namespace is joined by being born into it.
        true => "nsenter --target \"$(pid_of REAPER)\" --pid unshare --mount --propagation unchanged",
        false => "unshare --pid --mount --fork --propagation unchanged",
    };
    out.raw(CONTAINERS.trim().replace("MAKE_PROCESS", start).as_str());
}

/// A function whose body is a step of which the path is the argument.
fn body(out: &mut Writer, what: &str, name: &str, step: &Step) {
    let lines = commands(step, &Place { cgroups: &[], names: &[] }, &mut State::default());
    out.comment(&format!("{what}."));
    out.raw(&format!("{name}() {{"));
    let parts = lines.iter().flat_map(|line| line.split("; "));
    let mut depth = 1;
    for part in parts {
        let (part, deeper) = match part.split_once("then ") {
            Some((_, rest)) => (rest, true),
            None => (part, false),
        };
        if part == "fi" || part.starts_with("elif") {
            depth -= 1;
        }
        let ends = if part.starts_with("if ") || part.starts_with("elif ") { "; then" } else { "" };
        if deeper {
            depth = 2;
        }
        out.raw(&format!("{}{part}{ends}", "    ".repeat(depth)));
    }
    out.raw("}");
    out.raw("");
}

/// The end of the script.
pub fn main(out: &mut Writer) {
    out.raw(MAIN.trim_end());
}

const GENERAL: &str = r#"
die() {
    echo "$POD: $*" >&2
    exit 1
}

# note_pid NAME: writes down this process's number, as the host counts: /proc is still the host's.
note_pid() {
    local pid
    read -r pid _ </proc/self/stat
    echo "$pid" >"$ROOT/pids/$1"
}

pid_of() { cat "$ROOT/pids/$1"; }

# Holds what it is in, and reaps the processes whose parents have gone.
idle() { while :; do sleep infinity; done; }

# Nothing of the caller's stays open. (255 is this file, as bash reads it.)
close_inherited() {
    local fd
    for fd in /proc/self/fd/*; do
        fd=${fd##*/}
        if [ "$fd" -gt 2 ] && [ "$fd" != 255 ]; then
            exec {fd}>&-
        fi
    done
}

# under PATH: refuses a symbolic link on the way from the new root to there: a mount would go where
# it leads.
under() {
    local path=$NEW name
    while read -r -d / name; do
        path=$path/$name
        if [ -L "$path" ]; then
            die "$path is a symbolic link"
        fi
    done <<<"${1#"$NEW"/}/"
}

# directory PATH: makes it below the new root.
directory() {
    under "$1"
    [ -d "$1" ] || (umask 022 && mkdir -p "$1")
}

# mount_point SOURCE PATH: something to bind SOURCE on, a file or a directory as it is itself.
mount_point() {
    if [ -d "$1" ]; then
        directory "$2"
    else
        directory "${2%/*}"
        under "$2"
        [ -e "$2" ] || install -m 644 /dev/null "$2"
    fi
}
"#;

const CGROUP_V1: &str = r#"
# cgroup NAME: makes a cgroup of the pod in every hierarchy.
cgroup() {
    local hierarchy
    for hierarchy in "${HIERARCHIES[@]}"; do
        mkdir -p "$hierarchy/$CGROUP/$1"
    done
}

# enter NAME: moves this process into it; 0 is whoever writes.
enter() {
    local hierarchy
    for hierarchy in "${HIERARCHIES[@]}"; do
        echo 0 >"$hierarchy/$CGROUP/$1/tasks"
    done
}

# processes NAME: who is in it.
processes() { cat "${HIERARCHIES[0]}/$CGROUP/$1/cgroup.procs" 2>/dev/null || :; }

# kill_all NAME: frozen first, so that nobody can fork while the list is read; thawed after, since
# the frozen cannot die.
kill_all() {
    local state=FREEZER/$CGROUP/$1/freezer.state
    echo FROZEN >"$state"
    processes "$1" | xargs -r kill -KILL 2>/dev/null || :
    echo THAWED >"$state"
}

# clear NAME: kills what is left in a cgroup of the pod, and removes it.
clear() {
    local hierarchy
    while [ -n "$(processes "$1")" ]; do
        kill_all "$1"
        sleep 0.02
    done
    for hierarchy in "${HIERARCHIES[@]}"; do
        remove "$hierarchy/$CGROUP/$1"
    done
}
"#;

const CGROUP_V2: &str = r#"
# cgroup NAME: makes a cgroup of the pod. Every parent on the way passes its controllers on.
cgroup() {
    local directory=${HIERARCHIES[0]} parts part
    IFS=/ read -ra parts <<<"$CGROUP/$1"
    for part in "${parts[@]}"; do
        echo '+cpu +memory +pids' >"$directory/cgroup.subtree_control"
        directory=$directory/$part
        mkdir -p "$directory"
    done
}

# enter NAME: moves this process into it; 0 is whoever writes.
enter() { echo 0 >"${HIERARCHIES[0]}/$CGROUP/$1/cgroup.procs"; }

# processes NAME: who is in it.
processes() { cat "${HIERARCHIES[0]}/$CGROUP/$1/cgroup.procs" 2>/dev/null || :; }

# kill_all NAME: all at once, so that nobody can fork faster.
kill_all() { echo 1 >"${HIERARCHIES[0]}/$CGROUP/$1/cgroup.kill"; }

# clear NAME: kills what is left in a cgroup of the pod, and removes it.
clear() {
    while [ -n "$(processes "$1")" ]; do
        kill_all "$1"
        sleep 0.02
    done
    remove "${HIERARCHIES[0]}/$CGROUP/$1"
}
"#;

const REMOVE: &str = r#"
# remove DIRECTORY: the last process may take a moment to be gone.
remove() {
    local tries
    for tries in {1..100}; do
        if [ ! -e "$1" ] || rmdir "$1" 2>/dev/null; then
            return 0
        fi
        sleep 0.02
    done
    die "cannot remove $1 after $tries tries"
}
"#;

const TOOLS: &str = r#"
# Copies of the host's programs that are needed where no path leads to the host: with their
# libraries, in one directory.
make_tools() {
    local name program
    mkdir "$ROOT/tools"
    mount -t tmpfs -o mode=755 tmpfs "$ROOT/tools"
    for name in setpriv env umount prlimit; do
        program=$(command -v "$name")
        cp -L "$program" "$ROOT/tools/$name"
        ldd "$program" | grep -o '/[^ ]*' | xargs cp -Lut "$ROOT/tools"
    done
    # The program that loads them; by itself on its line.
    cp -L "$(ldd "$program" | sed -n 's|^[[:space:]]*\(/[^ ]*\).*|\1|p')" "$ROOT/tools/ld.so"
}

# What starts one of them: it is named by the working directory, through the container's own /proc.
TOOL=(/proc/self/cwd/ld.so --library-path /proc/self/cwd)

# tools: that directory, as the host finds it: it is mounted in the pod's mount namespace alone.
tools() { echo "/proc/$(pid_of SANDBOX)/root$ROOT/tools"; }
"#;

const CONTAINERS: &str = r#"
# start NAME: makes the process of a container, and waits until its program runs.
start() {
    MAKE_PROCESS \
        setsid bash "$SELF" run container "$1" </dev/null >>"$ROOT/logs/$1" 2>&1 &
    started=$!
    until is_program "$1" || ! kill -0 "$started" 2>/dev/null; do
        sleep 0.05
    done
    echo "$1 has been started"
    : >"$ROOT/started"
}

# is_program NAME: its first process executes neither a program of the host nor one of the tools.
is_program() {
    local device
    device=$(stat -Lc %d "/proc/$(pid_of "$1" 2>/dev/null)/exe" 2>/dev/null) || return 1
    [ "$device" != "$(stat -Lc %d "$BASH")" ] && [ "$device" != "$(stat -c %d "$ROOT/tools")" ]
}

# runs NAME: its first process is in its cgroup.
runs() { processes "pod/$1.0" | grep -qx "$(pid_of "$1" 2>/dev/null)"; }

# finish NAME: waits for the end of an init container, which must be a good one.
finish() {
    local code=0
    wait "$started" || code=$?
    clear "pod/$1.0"
    if [ "$code" != 0 ]; then
        echo "init container $1 has failed with $code: nothing after it is started"
        idle
    fi
    echo "$1 has ended"
}

# signal NAME SIGNAL: one that has just ended needs none.
signal() {
    if runs "$1"; then
        kill -s "$2" "$(pid_of "$1")" 2>/dev/null || :
    fi
}

# gone NAME: waits for its end, at most until the deadline; then kills it, with all that is in its
# cgroup.
gone() {
    while runs "$1" && [ "$SECONDS" -lt "$deadline" ]; do
        sleep 0.05
    done
    clear "pod/$1.0"
}

# Takes away what may be there. With PID 1 of the pod go its processes, with its mount namespace the
# mounts, with its network namespace lo.
take_down() {
    local hierarchy cgroup
    clear init
    for hierarchy in "${HIERARCHIES[@]}"; do
        for cgroup in "$hierarchy/$CGROUP"/pod/*.0; do
            [ ! -e "$cgroup" ] || clear "pod/${cgroup##*/}"
        done
        remove "$hierarchy/$CGROUP/pod"
        remove "$hierarchy/$CGROUP"
        rmdir "$hierarchy/${CGROUP%/*}" 2>/dev/null || : # other pods by hand may be below it
    done
    rm -r "$ROOT"
}

look() {
    local name
    echo "$POD is there: process $(pid_of SANDBOX) is PID 1 of its PID namespace."
    echo "  bash $0 down                         takes it down"
    echo "  tail $ROOT/log $ROOT/logs/*"
    for name in "$ROOT"/pids/*; do
        name=${name##*/}
        echo "  nsenter --target $(pid_of "$name") --all sh    # $name"
    done
}
"#;

const MAIN: &str = r#"
[ "$(id -u)" = 0 ] || die "this needs root, since it makes namespaces, mounts and cgroups"
[ -r "$SELF" ] || die "this has to be a file, since its processes read it again"

case ${1-} in
    up | down) "$1" ;;
    run) # the script itself, in a process that it has made
        case $2 in
            container | root) "$2_${3//-/_}" ;;
            *) "$2" ;;
        esac
        ;;
    *) die "bash $0 up, or bash $0 down" ;;
esac
"#;
