#!/bin/bash
# What the scripts of this module share; sourced by them.
# shellcheck disable=SC2034  # Used where this is sourced.

BIN=$(cd "$(dirname "$0")" && pwd)
PATTERN="demo_worker --role [a-z]+$"

# Start a worker of its own session, so that it outlives the script.
start_worker() {
    setsid "$BIN/demo_worker" --role "$1" </dev/null >/dev/null 2>&1 &
}
