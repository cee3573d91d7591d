#!/usr/bin/env bash
# Sets this machine and checkout up: Debian packages, virtual environment, the project itself. Safe to repeat; does nothing when done.
# Usage: ops/tools/setup.sh [run|bench]   bench adds the peers that the benchmarks compare with.
set -euo pipefail
cd "$(dirname "$0")/../.."

run_packages=(ca-certificates nftables iproute2 util-linux e2fsprogs procps attr acl libfaketime postgresql postgresql-contrib)
test_packages=(mariadb-server nginx apache2 dbus-daemon)
bench_packages=(fio glusterfs-server keepalived corosync pacemaker pacemaker-cli-utils resource-agents)
want=("${run_packages[@]}" "${test_packages[@]}")
if [ "${1:-run}" = bench ]; then want+=("${bench_packages[@]}"); fi

missing=()
for package in "${want[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "setup: these Debian packages are missing and only root can install them: ${missing[*]}" >&2
        exit 8
    fi
    # Servers are not started by being installed: tests run them in namespaces of their own (invoke-rc.d(8)).
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    echo "setup: installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))'; then
    echo "setup: $python is older than 3.11; set PYTHON to one that is not" >&2
    exit 8
fi
stamp=.venv/.holdfast-stamp
wanted=$(cat requirements.lock pyproject.toml | sha256sum)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    fi
    echo "setup: building .venv from requirements.lock"
    "$python" -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
    echo "$wanted" >"$stamp"
fi
