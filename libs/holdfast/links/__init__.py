"""PURE: network interfaces, the addresses on them, and the frames that announce an address or ask for its owner."""
