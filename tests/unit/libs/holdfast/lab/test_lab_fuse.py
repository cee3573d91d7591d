"""Which FUSE connections a mount table shows."""

from __future__ import annotations

from holdfast.lab.fuse import connections

TABLE = """\
100 1 0:60 / / rw,relatime - overlay overlay rw,lowerdir=/,upperdir=/var/lib/holdfast-lab/a/node1/disk/upper,workdir=/w
101 100 7:3 /var-lib /var/lib rw,noatime - ext4 /dev/loop3 rw
102 101 0:63 / /var/lib/app rw,relatime - fuse.holdfast holdfast rw,user_id=0,group_id=0
103 101 0:64 / /mnt/with\\040blank rw,relatime shared:4 - fuse.sshfs host:/ rw
104 100 0:31 / /sys/fs/fuse/connections rw - fusectl none rw
105 100 8:17 / /mnt/disk rw - fuseblk /dev/sdb1 rw
"""


def test_connections_are_the_minor_numbers_of_fuse_mounts() -> None:
    assert connections(TABLE) == {63, 64}


def test_table_that_cannot_be_read_shows_none() -> None:
    assert connections("") == frozenset()
