"""The vip service: holds virtual addresses, tells the networks, lets go."""
