"""Damages a replica behind the product's back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from holdfast.demo import database
from holdfast.lab.errors import LabError
from holdfast.lab.node import Node

# A database's files are in base/<number of the database>/; this one belongs to template0, which nobody can change.
_FIND: Final = "find base -maxdepth 2 -type f -name '[0-9]*' -size +8k | sort | head -n 1"
# Mounting the directory above a second time shows what is beneath the replicated file system. The mount is made in
# a namespace of its own, so that it is gone when the command ends.
_BENEATH: Final = 'mount --bind "$0" /mnt && cd "/mnt/$1" && exec sh -c "$2"'
_OFFSET: Final = 4242
"""Within the first page of the file, behind its header."""


def damage_one_file(node: Node) -> str:
    """Turn over one byte of one file beneath the replicated directory, and return its path below it.

    The size stays, and so do the times: only comparing the contents finds it. Raises LabError.
    """
    script = (
        f'file=$({_FIND}) && touch -r "$file" /tmp/times'
        f' && byte=$(od -An -tu1 -j{_OFFSET} -N1 "$file")'
        f' && printf "\\\\$(printf %o $((255 - byte)))"'
        f' | dd of="$file" bs=1 seek={_OFFSET} conv=notrunc status=none'
        ' && touch -r /tmp/times "$file" && echo "$file"'
    )
    data = Path(database.DATA)
    mounted = Path("/var/lib")
    words = [str(mounted), str(data.relative_to(mounted)), script]
    done = node.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", _BENEATH, *words])
    path = done.stdout.strip()
    if not path:
        raise LabError(f"no file to damage was found in {database.DATA}")
    return path
