#!/bin/bash
# What the scripts of this module share; sourced by them. PROJECT and ENGINE come from userconfig.xml, SAFE and
# SAFEMODULE from whoever runs the scripts.
# shellcheck disable=SC2034  # Some of these are used only where this is sourced.

BIN=$(cd "$(dirname "$0")" && pwd)
cd /

# Containers get this long to end before they are killed.
STOP_S=${STOP_S:-60}

# Say something in the module's log (visible), and in the log of this script.
say() {
    echo "$1"
    "$SAFE/safekit" printe "$1" || true
}

# Say why the module cannot go on, stop it, and end this script.
give_up() {
    say "$2"
    "$SAFE/safekit" stop -i "$1"
    exit 1
}

# The engine: as configured, else docker where it is installed, else podman.
engine() {
    if [ -n "${ENGINE:-}" ]; then
        echo "$ENGINE"
    elif command -v docker >/dev/null; then
        echo docker
    else
        echo podman
    fi
}

# Compose of that engine for this project: the engine's own command where it has one, else the program beside it.
compose() {
    local engine
    engine=$(engine)
    set -- --project-name "$SAFEMODULE" "$@"
    cd "$PROJECT" || return 1
    if "$engine" compose version >/dev/null 2>&1; then
        "$engine" compose "$@"
    else
        "$engine-compose" "$@"
    fi
}

# Containers of the project in a state, one id a line. Both engines set this label (podman-compose its own as well).
containers() {
    "$(engine)" ps --quiet --filter "label=com.docker.compose.project=$SAFEMODULE" "$@"
}

# How many services the project has.
services_wanted() {
    compose config --services | grep -c .
}
