"""An anonymised snapshot: the same files with addresses and names replaced, and apart from it what replaced what."""

from __future__ import annotations

import csv
import io
import json
import os
import pwd
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.config.parse import parse_cluster
from holdfast.errors import HoldfastError
from holdfast.support.anonymise import Anonymiser, host_names

from services.gateway.files.durable import disk, write_file

USER_ID_MIN = 1000
USER_ID_MAX = 60_000
"""Accounts of people (login.defs(5), UID_MIN and UID_MAX); those of the system have the same names everywhere."""
CATALOGUE_MODE = 0o600

Members = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class Anonymised:
    """What came out. replaced: how many different texts. left_out: files that are no text, or were not wanted."""

    file: str
    catalogue: str
    replaced: int
    left_out: tuple[str, ...]


def write_anonymised(
    members: Members, file: Path, catalogue: Path, *, words: Iterable[str] = (), without: str = ""
) -> Anonymised:
    """Write the anonymised snapshot and, readable by root alone, its catalogue.

    words: more words that are to be replaced. without: files whose name this expression is found in are left out.
    """
    texts, left_out = _texts(members, without)
    anonymiser = Anonymiser(hosts=_hosts(texts), users=_users(texts), words=words)
    with disk(file):
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, CATALOGUE_MODE)
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts:
                archive.writestr(anonymiser.text(name), anonymiser.text(text))
    private = {"replaced": anonymiser.catalogue, "left_out": left_out}
    with disk(catalogue):
        write_file(catalogue, json.dumps(private, indent=1, ensure_ascii=False).encode() + b"\n", CATALOGUE_MODE)
    return Anonymised(
        file=str(file),
        catalogue=str(catalogue),
        replaced=len(anonymiser.catalogue),
        left_out=tuple(left_out),
    )


def _texts(members: Members, without: str) -> tuple[list[tuple[str, str]], list[str]]:
    texts: list[tuple[str, str]] = []
    left_out: list[str] = []
    unwanted = re.compile(without) if without else None
    for name, data in members:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            left_out.append(name)
            continue
        if "\0" in text or (unwanted is not None and unwanted.search(name)):
            left_out.append(name)
        else:
            texts.append((name, text))
    return texts, left_out


def _hosts(texts: Iterable[tuple[str, str]]) -> set[str]:
    """This machine's name, the nodes, and host names in configurations; the first part of each as well."""
    found = {os.uname().nodename}
    for name, text in texts:
        if name.endswith(".xml"):
            found |= host_names(text)
        if name.endswith("/cluster.xml"):
            try:
                found |= set(parse_cluster(text.encode(), name).nodes)
            except HoldfastError:
                continue
        if name.endswith("/level.json"):
            found.add(_field(text, "host"))
    return {part for name in found for part in (name, name.partition(".")[0]) if part}


def _users(texts: Iterable[tuple[str, str]]) -> set[str]:
    """Accounts of people on this machine, and who gave commands."""
    found = {each.pw_name for each in pwd.getpwall() if USER_ID_MIN <= each.pw_uid <= USER_ID_MAX}
    for name, text in texts:
        if name.endswith(("cmdlog.csv", "/commands.csv")):
            found |= {row.get("who") or "" for row in csv.DictReader(io.StringIO(text))}
    return {name for name in found if re.fullmatch(r"[A-Za-z_][\w.-]{1,31}", name)} - {"root"}


def _field(text: str, name: str) -> str:
    try:
        return str(json.loads(text)[name])
    except (ValueError, KeyError, TypeError):
        return ""
