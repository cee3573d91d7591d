#!/bin/bash
# What the scripts of this module share; sourced by them. NGINX_CONF and NGINX_PID come from userconfig.xml, SAFE and SAFEMODULE
# from whoever runs the scripts.
# shellcheck disable=SC2034  # Some of these are used only where this is sourced.

BIN=$(cd "$(dirname "$0")" && pwd)
cd /

UNIT=nginx.service
# How long the server may take to start, or to end after a signal.
TIMEOUT_S=${TIMEOUT_S:-20}

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

# Whether systemd runs this machine and knows the service.
managed_by_systemd() {
    [ -d /run/systemd/system ] && systemctl cat "$UNIT" >/dev/null 2>&1
}

# The number of the master process; nothing when it does not run. Its file is in /run, so it is this node's.
master() {
    local number
    read -r number 2>/dev/null <"$NGINX_PID" || return 0
    [ "$(cat "/proc/$number/comm" 2>/dev/null)" = nginx ] && echo "$number"
    return 0
}

# Every process of the server: the master has begun a session of its own, in which its workers are, also when it is dead.
processes() {
    local number
    read -r number 2>/dev/null <"$NGINX_PID" || return 0
    pgrep --session "$number" --exact nginx || true
}

# Wait until no process is left; says whether that is so.
wait_ended() {
    local deadline=$((SECONDS + TIMEOUT_S))
    while [ -n "$(processes)" ]; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

# Wait until the master runs; says whether it does.
wait_started() {
    local deadline=$((SECONDS + TIMEOUT_S))
    while [ -z "$(master)" ]; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

# Kill what is left of the server, and wait until it is gone; says whether it is.
kill_all() {
    local left
    left=$(processes)
    # shellcheck disable=SC2086  # one word for each process
    [ -z "$left" ] || kill -KILL $left 2>/dev/null
    wait_ended && rm -f "$NGINX_PID"
}
