"""A file workload and its judge: what was acknowledged must be there, whatever happened to the node.

Run inside a node as `python -m tests.cluster.file_workload DIRECTORY SEED`: it works in DIRECTORY for ever and prints
one JSON line before each operation (`begin`) and one after it has returned (`done`). The lines leave the node at once,
so they survive its death. `expect` folds the lines into what must be in the directory, and `judge` compares.

Operations: create (with contents, fsync, close), append (fsync), overwrite (a block in the middle, fsync), rename (over
an existing name or not), link, unlink, each followed by an fsync of the directory where names change.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

NAMES = 40
"""So many names are in play: few enough that renames meet existing files, many enough for variety."""
SIZE_MAX = 64 * 1024
LINKED_MAX = 10
"""So many names may share a file with another; the rest stay plain, so that every operation always has a candidate."""


def contents(seed: int, length: int) -> bytes:
    """Return reproducible bytes."""
    block = hashlib.blake2b(str(seed).encode()).digest()
    return (block * (length // len(block) + 1))[:length]


@dataclass
class Expectation:
    """What must be there: contents by name, and the names that the operation under way at the end may have touched."""

    files: dict[str, bytes] = field(default_factory=dict)
    undecided: dict[str, list[bytes | None]] = field(default_factory=dict)
    acknowledged: int = 0


def expect(lines: Iterable[str]) -> Expectation:
    """Fold the workload's lines; a line cut short by the node's death counts as not written."""
    expectation = Expectation()
    pending: dict[str, object] | None = None
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            break
        if record["step"] == "begin":
            pending = record
        else:
            assert pending is not None
            _apply(expectation.files, pending)
            pending = None
            expectation.acknowledged += 1
    if pending is not None:
        after = dict(expectation.files)
        _apply(after, pending)
        for name in {str(pending["name"]), str(pending.get("target", pending["name"]))}:
            expectation.undecided[name] = [expectation.files.get(name), after.get(name)]
    return expectation


def _apply(files: dict[str, bytes], record: dict[str, object]) -> None:
    name, seed = str(record["name"]), int(str(record["seed"]))
    match record["operation"]:
        case "create":
            files[name] = contents(seed, int(str(record["length"])))
        case "append":
            files[name] += contents(seed, int(str(record["length"])))
        case "overwrite":
            offset, data = int(str(record["offset"])), contents(seed, int(str(record["length"])))
            files[name] = files[name][:offset] + data + files[name][offset + len(data) :]
        case "rename":
            files[str(record["target"])] = files.pop(name)
        case "link":
            files[str(record["target"])] = files[name]
        case "unlink":
            del files[name]
        case other:
            raise ValueError(f"unknown operation {other!r}")


def judge(expectation: Expectation, found: dict[str, bytes]) -> list[str]:
    """Return what is wrong, in words; empty when nothing acknowledged is missing or changed and nothing is invented."""
    wrong = []
    for name in sorted(expectation.files.keys() | found.keys()):
        allowed: list[bytes | None] = expectation.undecided.get(name) or [expectation.files.get(name)]
        present = found.get(name)
        if present in allowed:
            continue
        if name in expectation.undecided and _is_partial(present, allowed):
            continue
        sizes = [None if a is None else len(a) for a in allowed]
        wrong.append(f"{name}: expected size {sizes}, found {None if present is None else len(present)}")
    return wrong


def _is_partial(present: bytes | None, allowed: list[bytes | None]) -> bool:
    """The operation under way may have been done in part: a created or appended file may be a prefix, an overwritten
    block mixed.
    """
    before, after = allowed
    if present is None or after is None:
        return False
    if len(present) < len(after):
        return after.startswith(present) and (
            before is None or len(present) >= len(before) or not after.startswith(before)
        )
    return len(present) == len(after) and before is not None and len(before) == len(after)


def work(directory: Path, seed: int) -> None:
    """Work until killed."""
    random_source = random.Random(seed)
    directory.mkdir(parents=True, exist_ok=True)
    names = {path.name: path.stat().st_size for path in directory.iterdir()}
    linked: set[str] = set()
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    number = 0
    while True:
        number += 1
        record = _choose(random_source, names, linked, number)
        _say({"step": "begin", **record})
        _do(place, record)
        _account(names, linked, record)
        _say({"step": "done", "number": number})


def _choose(source: random.Random, names: dict[str, int], linked: set[str], number: int) -> dict[str, object]:
    every = [f"file-{place}" for place in range(NAMES)]
    free = [name for name in every if name not in names]
    plain = sorted(names.keys() - linked)
    record: dict[str, object] = {"number": number, "seed": source.randrange(1 << 30)}
    kind = source.choice(["create", "append", "append", "overwrite", "overwrite", "rename", "link", "unlink"])
    if free and (kind == "create" or not plain):
        return {**record, "operation": "create", "name": source.choice(free), "length": source.randrange(SIZE_MAX)}
    if not plain:
        return {**record, "operation": "unlink", "name": source.choice(sorted(names))}
    name = source.choice(plain)
    if kind == "overwrite" and names[name] > 1:
        offset = source.randrange(names[name])
        length = source.randrange(1, names[name] - offset + 1)
        return {**record, "operation": kind, "name": name, "offset": offset, "length": length}
    if kind == "rename":
        target = source.choice([other for other in every if other != name and other not in linked])
        return {**record, "operation": kind, "name": name, "target": target}
    if kind == "link" and free and len(linked) < LINKED_MAX:
        return {**record, "operation": kind, "name": name, "target": source.choice(free)}
    if kind == "unlink" and len(names) > NAMES // 2:
        return {**record, "operation": kind, "name": source.choice(sorted(names))}
    return {**record, "operation": "append", "name": name, "length": source.randrange(1, SIZE_MAX // 4)}


def _account(names: dict[str, int], linked: set[str], record: dict[str, object]) -> None:
    """Keep sizes, and which names share a file: those are only unlinked, which keeps the record simple."""
    name, length = str(record["name"]), int(str(record.get("length", 0)))
    target = str(record.get("target", ""))
    match record["operation"]:
        case "create":
            names[name] = length
        case "append":
            names[name] += length
        case "rename":
            names[target] = names.pop(name)
        case "link":
            names[target] = names[name]
            linked.update({name, target})
        case "unlink":
            del names[name]
            linked.discard(name)


def _do(place: int, record: dict[str, object]) -> None:
    name, seed, length = str(record["name"]), int(str(record["seed"])), int(str(record.get("length", 0)))
    match record["operation"]:
        case "create":
            _write(place, name, os.O_CREAT | os.O_TRUNC, contents(seed, length), 0)
        case "append":
            _write(place, name, os.O_APPEND, contents(seed, length), 0)
        case "overwrite":
            _write(place, name, 0, contents(seed, length), int(str(record["offset"])))
        case "rename":
            os.rename(name, str(record["target"]), src_dir_fd=place, dst_dir_fd=place)
        case "link":
            os.link(name, str(record["target"]), src_dir_fd=place, dst_dir_fd=place)
        case "unlink":
            os.unlink(name, dir_fd=place)
    os.fsync(place)


def _write(place: int, name: str, flags: int, data: bytes, offset: int) -> None:
    fd = os.open(name, os.O_WRONLY | flags, 0o644, dir_fd=place)
    try:
        view = memoryview(data)
        while view:
            done = os.write(fd, view) if flags & os.O_APPEND else os.pwrite(fd, view, offset)
            view, offset = view[done:], offset + done
        os.fsync(fd)
    finally:
        os.close(fd)


def _say(record: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
