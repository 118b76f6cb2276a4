# shellcheck shell=bash
# lib.sh: what the scripts of this folder share. Sourced, never run.
#
# Gives: $repo (top of the working tree), $cache (everything that was fetched or made for tests; may be deleted),
# say, die, usage, as_root, need, install_needed, need_rust, test_programs.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # used by the scripts that source this file
cache=$repo/.cache
# dpkg, mke2fs, modprobe and the like; a user's PATH lacks these folders on Debian.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# A user who has Rust from rustup, but has not started a new login shell since.
[ -x "$HOME/.cargo/bin/cargo" ] && PATH=$HOME/.cargo/bin:$PATH

# A line for the reader.
say() { printf '%s\n' "$*" >&2; }

# One clear sentence, then the end.
die() {
    say "scripts/${0##*/}: $*"
    exit 1
}

# Wrong usage: exit 2, as barepod itself does.
usage_error() {
    say "scripts/${0##*/}: $* (see scripts/${0##*/} --help)"
    exit 2
}

# Prints the comment at the top of the running script, without the interpreter line.
usage() { sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p }' "$0"; }

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        die "this needs root and there is no sudo: run it as root."
    fi
}

missing_packages=()

# need COMMAND PACKAGE WHY: remembers PACKAGE, with the reason, unless COMMAND (a name, or an absolute path) is there.
need() {
    if [[ $1 == /* ]]; then
        [ ! -e "$1" ] || return 0
    else
        ! command -v "$1" >/dev/null || return 0
    fi
    say "missing: $2 ($3)"
    missing_packages+=("$2")
}

# Installs what `need` has remembered, by Debian package name.
install_needed() {
    [ ${#missing_packages[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "this is not Debian (no apt-get): install ${missing_packages[*]} in this system's way, then run it again."
    say "installing with apt-get: ${missing_packages[*]}"
    # Lists may be absent or stale: they are fetched only when the first try fails.
    if ! apt_install >/dev/null 2>&1; then
        as_root apt-get update -q >&2 || die "apt-get update failed: is there a network?"
        apt_install >&2 || die "apt-get could not install ${missing_packages[*]}; the lines above say why."
    fi
    missing_packages=()
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing_packages[@]}" </dev/null
}

# One sentence when there is no Rust, or one that is too old (rust-version in Cargo.toml).
need_rust() {
    local have want
    command -v cargo >/dev/null || die "Rust is missing: install it from https://rustup.rs, then run this again."
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$repo/Cargo.toml")
    have=$(rustc --version | cut -d ' ' -f 2)
    [ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ] ||
        die "Rust $have is too old: barepod needs $want or newer (rustup update)."
    need cc gcc "Rust links with it"
    need "/usr/lib/$(uname -m)-linux-gnu/crt1.o" libc6-dev "Rust links with it"
}

# The programs of tests/*.rs, as cargo has built them.
test_programs() {
    cargo test --locked --tests --no-run --message-format=json 2>/dev/null |
        sed -n 's/.*"kind":\["test"\].*"executable":"\([^"]*\)".*/\1/p'
}
