#!/bin/sh
# Runs in the virtual machine with systemd (scripts/vm systemd): a pod's limits hold although systemd owns the hierarchy.
# Arguments: the barepod binary, the folder with the bundles.
set -eu
barepod=$1 bundles=$2

fail() {
    echo "FAIL: $*"
    exit 1
}

cat >/run/limits.yaml <<'YAML'
apiVersion: v1
kind: Pod
metadata:
  name: limits
spec:
  terminationGracePeriodSeconds: 2
  containers:
    - name: app
      image: busybox
      command: [sh, -c, "trap 'exit 0' TERM; sleep 1000 & wait $!"]
      resources:
        limits: { cpu: 500m, memory: 64Mi }
YAML

find /sys/fs/cgroup -type d | sort >/run/before
"$barepod" run -d --bundles "$bundles" /run/limits.yaml
"$barepod" wait limits --for=Running --timeout 60s
uid=$("$barepod" inspect limits | sed -n 's/^ *"uid": "\(.*\)",*$/\1/p' | head -n 1)
[ -n "$uid" ] || fail "inspect shows no uid"
app=/sys/fs/cgroup/barepod/$uid/pod/app.0

limits_are_in_place() {
    [ "$(cat "$app/memory.max")" = 67108864 ] || fail "$1: memory.max is $(cat "$app/memory.max")"
    [ "$(cat "$app/cpu.max")" = "50000 100000" ] || fail "$1: cpu.max is $(cat "$app/cpu.max")"
    [ -n "$(cat "$app/cgroup.procs")" ] || fail "$1: no process is in $app"
    echo "ok: limits are in place $1"
}

limits_are_in_place "at first"
systemctl daemon-reload
limits_are_in_place "after daemon-reload"
systemctl daemon-reexec
limits_are_in_place "after daemon-reexec"
# A unit with limits comes and goes: systemd then writes the controllers of the root again.
systemd-run --quiet --wait -p MemoryMax=64M -p CPUQuota=50% true
systemctl daemon-reload
limits_are_in_place "after a unit with the same controllers has gone"

"$barepod" stop limits
"$barepod" rm limits
[ ! -e "/sys/fs/cgroup/barepod/$uid" ] || fail "the pod's cgroup is left"
find /sys/fs/cgroup -type d | sort >/run/after
grep '/barepod/' /run/after && fail "cgroups are left"
[ -z "$(pidof sleep)" ] || fail "a process is left"
echo "ok: nothing of the pod is left"
