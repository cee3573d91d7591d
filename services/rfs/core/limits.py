"""Sizes and spans of replication, each with its reason. Pure constants."""

from __future__ import annotations

ZONE_BYTES = 1 << 20
"""Unit of the change journal and of block comparison: one FUSE request at most (1 MiB), quickly copied."""
DATA_BYTES_MAX = 1 << 20
"""Data in one operation: the largest write that the kernel's FUSE sends (256 pages of 4 KiB)."""
PATH_BYTES_MAX = 4096
"""PATH_MAX of linux/limits.h."""
NAME_BYTES_MAX = 255
"""NAME_MAX of linux/limits.h."""
ATTRIBUTE_BYTES_MAX = 65_536
"""XATTR_SIZE_MAX of linux/limits.h."""
ATTRIBUTES_MAX = 1024
"""Extended attributes of one file: far more than file systems hold (ext4: one block's worth)."""
BODY_BYTES_MAX = DATA_BYTES_MAX + 4 * PATH_BYTES_MAX
"""Body of one record in the stream. A longer one is rubbish."""
WRITE_OUT_BYTES = 512 << 10
"""Writes of at least this size begin to go to the disk at once, so that the fsync behind many of them is short."""
WINDOW_BYTES = 64 << 20
"""Unacknowledged operations a primary keeps: half a second of a 1 Gbit/s link, and 64 of the largest writes."""
TREES_MAX = 64
"""Replicated directories of one module."""
JOURNAL_ENTRIES_MAX = 200_000
"""Noted entries kept in memory (about 40 MB); beyond it a tree counts as changed everywhere."""
JOURNAL_SEGMENT_BYTES = 8 << 20
"""A segment of the change journal is closed at this size."""
ZONES_PER_CHANGE_MAX = 64
"""Zones noted one by one for one change; a larger one notes the whole file."""
