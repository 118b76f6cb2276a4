#!/bin/sh
# Runs in the virtual machine (scripts/vm run): each of the test programs given as arguments, all of them whatever fails.
# Environment: BAREPOD_REPO, the folder they were built in and expect to be in; BAREPOD_TEST_ARGUMENTS, for each of them.
set -u
cd "$BAREPOD_REPO" || exit 1
mkdir -p target/tmp
failed=
for program; do
    echo "     Running ${program##*/}"
    # shellcheck disable=SC2086 # several words, or none
    "$program" ${BAREPOD_TEST_ARGUMENTS-} || failed="$failed ${program##*/}"
done
[ -z "$failed" ] || echo "failed:$failed"
[ -z "$failed" ]
