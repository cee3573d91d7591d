#!/bin/bash
# What the scripts of this module share; sourced by them. DATA, PORT and SOCKET come from userconfig.xml, SAFE and
# SAFEMODULE from whoever runs the scripts.
# shellcheck disable=SC2034  # Some of these are used only where this is sourced.

BIN=$(cd "$(dirname "$0")" && pwd)
cd /

UNIT=mariadb.service
LOG=/var/log/mysql/holdfast-$SAFEMODULE.log

# How long the server may take to answer after its start: it replays what it had not yet written to its tables.
START_TIMEOUT_S=${START_TIMEOUT_S:-240}
# How long a killed process may take to go.
KILL_TIMEOUT_S=30

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

# The servers that work in DATA on this node: each stays in that directory. No pid file is asked: one in DATA could come
# from the other node.
processes() {
    local process name
    for process in /proc/[0-9]*; do
        read -r name 2>/dev/null <"$process/comm" || continue
        case $name in mariadbd | mysqld) ;; *) continue ;; esac
        if [ "$(readlink "$process/cwd")" = "$DATA" ]; then
            echo "${process#/proc/}"
        fi
    done
}

# Whether the server answers on its socket. `ping` succeeds also when it refuses the user.
is_ready() {
    mariadb-admin --no-defaults --socket="$SOCKET" --connect-timeout=5 ping >/dev/null 2>&1
}

# Wait until no process is left, for so many seconds; says whether that is so.
wait_ended() {
    local deadline=$((SECONDS + $1))
    while [ -n "$(processes)" ]; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# Kill what works in DATA and wait until it is gone; says whether it is.
kill_all() {
    local left
    left=$(processes)
    # shellcheck disable=SC2086  # one word for each process
    [ -z "$left" ] || kill -KILL $left 2>/dev/null
    wait_ended "$KILL_TIMEOUT_S"
}
