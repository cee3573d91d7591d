#!/bin/bash
# What the scripts of this module share; sourced by them. STORAGE and EXPORT come from userconfig.xml, SAFE and SAFEMODULE
# from whoever runs the scripts.
# shellcheck disable=SC2034  # Some of these are used only where this is sourced.

BIN=$(cd "$(dirname "$0")" && pwd)
cd /

IMAGE=$STORAGE/volumes.img
SELF=$(hostname | tr '[:upper:]' '[:lower:]')
# How long the datastore may take to accept connections, and K3s to answer.
START_TIMEOUT_S=${START_TIMEOUT_S:-120}
# How long pods of this node get to end when it leaves in good order.
DRAIN_S=${DRAIN_S:-60}

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

# Run a command again until it succeeds, for START_TIMEOUT_S; says whether it did.
until_done() {
    local deadline=$((SECONDS + START_TIMEOUT_S))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 1
    done
}

# The nodes that Kubernetes has under another name than ours, with their condition: "NAME Ready,SchedulingDisabled".
other_nodes() {
    k3s kubectl get nodes --no-headers 2>/dev/null | awk -v self="$SELF" '$1 != self { print $1, $2 }'
}

# End K3s and all its containers on this node.
end_k3s() {
    systemctl stop k3s
    if command -v k3s-killall.sh >/dev/null; then
        k3s-killall.sh
    fi
}
