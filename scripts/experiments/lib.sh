# shellcheck shell=bash
# scripts/experiments/lib.sh: what the experiments share. Sourced, never run.
#
# An experiment starts pods, does something to them and shows what follows. It says what it does in lines that begin with
# #, and shows each command before its output; what that should be stands in the file .expected beside it, where … is
# whatever comes, within a line or as lines. It leaves nothing behind, whatever happens.
#
# BAREPOD is the command with its global options. Without it: target/release/barepod of this tree, else barepod from PATH.

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
cd "$repo" || exit

case ${1-} in -h | --help) usage && exit ;; esac
[ "$(id -u)" = 0 ] || die "pods need root: run it as root, or with sudo."
if [ -z "${BAREPOD-}" ]; then
    BAREPOD=$repo/target/release/barepod
    [ -x "$BAREPOD" ] || BAREPOD=$(command -v barepod) || die "there is no barepod: build it first (scripts/demo does)."
fi
# shellcheck disable=SC2086 # a command and its options
barepod() { command $BAREPOD "$@"; }

# pod_init POD: the host's process id of the pod init. It is alone in its cgroup, which carries the uid of the pod.
pod_init() {
    local uid path pid
    uid=$(barepod inspect "$1" | sed -n '/"metadata"/,/"uid"/ s/.*"uid": "\(.*\)".*/\1/p')
    [ -n "$uid" ] || exit 1
    # Other cgroups may go while it looks; it says so, and that is no failure.
    path=$(find /sys/fs/cgroup -path "*/$uid/init/cgroup.procs" -print -quit 2>/dev/null) || true
    [ -n "$path" ] || die "$1 does not run."
    read -r pid <"$path" || die "$1 does not run."
    echo "$pid"
}

# A remark.
remark() { printf '\n# %s\n' "$*"; }

# show COMMAND…: the command as one would type it, then the command. Its failure is shown too, and does not end us.
show() {
    local word line='' status=0
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]] || word="'$word'"
        line+=" $word"
    done
    echo "\$$line"
    "$@" 2>&1 || status=$?
    [ $status = 0 ] || echo "(exit code $status)"
}

pods=()
# A folder for manifests.
scratch=$(mktemp -d)
# shellcheck disable=SC2329 # called by the trap
cleanup() {
    rm -rf "$scratch"
    [ ${#pods[@]} = 0 ] || barepod rm -f "${pods[@]}" >/dev/null 2>&1 || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# owned POD: this pod is ours; one of that name must not be there, and it is removed at the end.
owned() {
    ! barepod inspect "$1" >/dev/null 2>&1 || die "there is a pod $1 already: barepod rm -f $1"
    pods+=("$1")
}

# until_true SECONDS COMMAND…: waits until the command succeeds.
until_true() {
    local patience=$(($1 * ${BAREPOD_TEST_SLOWDOWN-1} * 20))
    shift
    while ! "$@" >/dev/null 2>&1; do
        ((patience-- > 0)) || die "waited too long for: $*"
        sleep 0.05
    done
}

# told POD PATTERN [TIMES]: whether the events of the pod have so many lines with it.
told() { [ "$(barepod events "$1" | grep -c -e "$2")" -ge "${3-1}" ]; }

# show_status POD WORD: `ps` as soon as it has this word as STATUS of the pod; the same call, for it may pass by.
show_status() {
    until_true 10 status "$1" "$2"
    printf '$ barepod ps\n%s\n' "$table"
}
status() {
    table=$(barepod ps)
    awk -v pod="$1" -v word="$2" '$1 == pod && $3 == word { found = 1 } END { exit !found }' <<<"$table"
}
