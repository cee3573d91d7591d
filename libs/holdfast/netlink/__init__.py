"""The kernel's interfaces and addresses: what there is, when it changes, and raw frames on an interface."""
