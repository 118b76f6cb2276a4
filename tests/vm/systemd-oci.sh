#!/bin/sh
# Runs in the virtual machine with systemd (scripts/vm systemd): a container of barepod-oci in a scope of systemd.
# Arguments: the barepod-oci binary, the folder with the bundles.
set -eu
oci=$1 bundles=$2

fail() {
    echo "FAIL: $*"
    exit 1
}

# A bundle of its own, with the rootfs of busybox.
mkdir -p /run/scope
cat >/run/scope/config.json <<JSON
{
  "ociVersion": "1.2.0",
  "root": { "path": "$bundles/busybox/rootfs", "readonly": true },
  "process": { "user": { "uid": 0, "gid": 0 }, "args": ["sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"] },
  "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
  "linux": {
    "cgroupsPath": "test-sub.slice:barepod:scoped",
    "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "cgroup" }],
    "resources": {
      "memory": { "limit": 67108864 }, "pids": { "limit": 40 }, "cpu": { "quota": 30000, "period": 50000 },
      "devices": [{ "allow": false, "access": "rwm" }]
    }
  }
}
JSON

unit=barepod-scoped.scope
dir=/sys/fs/cgroup/test.slice/test-sub.slice/$unit
run() { "$oci" --root /run/scope/state --systemd-cgroup "$@"; }

find /sys/fs/cgroup -type d | sort >/run/scope/before
run run -d --bundle /run/scope scoped

limits_are_in_place() {
    [ "$(cat "$dir/memory.max")" = "$2" ] || fail "$1: memory.max is $(cat "$dir/memory.max")"
    [ "$(cat "$dir/cpu.max")" = "30000 50000" ] || fail "$1: cpu.max is $(cat "$dir/cpu.max")"
    [ "$(cat "$dir/pids.max")" = 40 ] || fail "$1: pids.max is $(cat "$dir/pids.max")"
    [ -n "$(cat "$dir/cgroup.procs")" ] || fail "$1: no process is in $dir"
    echo "ok: limits are in place $1"
}

limits_are_in_place "at first" 67108864
[ "$(systemctl show --value -p ActiveState "$unit")" = active ] || fail "$unit is not active"
[ "$(systemctl show --value -p DevicePolicy "$unit")" = strict ] || fail "$unit has no device policy"
systemctl daemon-reload
limits_are_in_place "after daemon-reload" 67108864
run update --memory 128m scoped
limits_are_in_place "after an update" 134217728
systemctl daemon-reload
limits_are_in_place "after an update and daemon-reload" 134217728

pid=$(run state scoped | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
own=$(nsenter -t "$pid" -C cat /proc/"$pid"/cgroup)
[ "$own" = "0::/" ] || fail "inside its cgroup is $own"
echo "ok: its own cgroup is the root that it sees"

run delete --force scoped
[ ! -e "$dir" ] || fail "$dir is left"
[ "$(systemctl show --value -p LoadState "$unit")" = not-found ] || fail "$unit is left"
find /sys/fs/cgroup -type d | sort >/run/scope/after
grep -e scoped -e barepod /run/scope/after && fail "cgroups are left"
[ -z "$(pidof sleep)" ] || fail "a process is left"
echo "ok: nothing of the container is left"
