#!/bin/bash
# What the scripts of this module share; sourced by them. PGVERSION, PGCLUSTER, PGDATA and PGPORT come from
# userconfig.xml, SAFE and SAFEMODULE from whoever runs the scripts.
# shellcheck disable=SC2034  # Some of these are used only where this is sourced.

BIN=$(cd "$(dirname "$0")" && pwd)
cd /

PGBIN="/usr/lib/postgresql/$PGVERSION/bin"
PGCONF="/etc/postgresql/$PGVERSION/$PGCLUSTER/postgresql.conf"
PGUNIT="postgresql@$PGVERSION-$PGCLUSTER.service"
PGLOG="/var/log/postgresql/postgresql-$PGVERSION-$PGCLUSTER.log"

# How long PostgreSQL may take to answer after its start: it replays what it had not yet written to its tables.
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

# Whether systemd runs this machine and knows this cluster.
managed_by_systemd() {
    [ -d /run/systemd/system ] && [ -f "$PGCONF" ] && systemctl cat "$PGUNIT" >/dev/null 2>&1
}

# Run a command as postgres, without a login session.
as_postgres() {
    setpriv --reuid=postgres --regid=postgres --init-groups --reset-env -- "$@"
}

# The processes of PostgreSQL that work in PGDATA on this node: each stays in that directory.
# The number in postmaster.pid proves nothing here: the file may come from the other node.
processes() {
    local process name
    for process in /proc/[0-9]*; do
        read -r name 2>/dev/null <"$process/comm" || continue
        if [ "$name" = postgres ] && [ "$(readlink "$process/cwd")" = "$PGDATA" ]; then
            echo "${process#/proc/}"
        fi
    done
}

# Whether the postmaster says that it accepts connections: line 8 of its file, which also has its number in line 1.
is_ready() {
    local lines
    mapfile -t lines 2>/dev/null <"$PGDATA/postmaster.pid" || return 1
    [[ "${lines[7]}" == ready* ]] && kill -0 "${lines[0]}" 2>/dev/null
}

# Bring everything that lies beneath PGDATA to the disk, in one call; says whether it could.
# After a crash PostgreSQL does that file by file before it recovers, through the replication, which takes seconds.
# Beneath means the file system that the parent directory is on: so only where the replication is the one mount at or
# below PGDATA, and nothing in PGDATA points elsewhere.
synced_beneath() {
    local mounts
    mounts=$(awk -v data="$PGDATA" '$5 == data || index($5, data "/") == 1' /proc/self/mountinfo | wc -l)
    [ "$mounts" -eq 1 ] || return 1
    [ ! -L "$PGDATA/pg_wal" ] && [ -z "$(ls -A "$PGDATA/pg_tblspc" 2>/dev/null)" ] || return 1
    sync --file-system "$(dirname "$PGDATA")"
}

# Kill what works in PGDATA and wait until it is gone; says whether it is.
kill_all() {
    local deadline=$((SECONDS + KILL_TIMEOUT_S)) pids
    while pids=$(processes) && [ -n "$pids" ]; do
        # shellcheck disable=SC2086  # one word for each process
        kill -KILL $pids 2>/dev/null
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}
