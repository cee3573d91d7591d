#!/bin/bash
# What the scripts of this module share; sourced by them. VM and DIRECTORY come from userconfig.xml, SAFE and SAFEMODULE
# from whoever runs the scripts.
# shellcheck disable=SC2034  # Some of these are used only where this is sourced.

BIN=$(cd "$(dirname "$0")" && pwd)
cd /
# Words of states are compared, so virsh must not translate them.
export LC_ALL=C

# How long a guest may take to shut down; less than nicestoptimeout.
SHUTDOWN_S=${SHUTDOWN_S:-240}

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

# The word that libvirt has for the guest's state; nothing when it does not answer.
state() {
    virsh domstate "$VM" 2>/dev/null | head -n 1
}

# Whether no process runs the guest. A crashed one is over as well; a paused one is not.
is_off() {
    case $(state) in "shut off" | crashed) return 0 ;; esac
    return 1
}

# Wait for the guest to be off, for so many seconds; says whether it is.
wait_off() {
    local deadline=$((SECONDS + $1))
    until is_off; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.5
    done
}
