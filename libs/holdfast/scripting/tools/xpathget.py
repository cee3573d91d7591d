"""`xpathGet [-f FILE] PATH`: prints what a path gives, one a line; without FILE of the module's applied configuration,
macros expanded."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.config.xml import read_xml
from holdfast.errors import NotFoundError, OperatorError
from holdfast.scripting.xpath import ACCEPTED, values

CONFIGURATION = "safeconf.xml"
USAGE = f"xpathGet [-f FILE] PATH, with a PATH such as {ACCEPTED}"


def main(words: Sequence[str]) -> int:
    """Exit code 1 when the path gives nothing. A word that names a file is the file, wherever it stands."""
    rest = [word for word in words if word != "-f"]
    files = [word for word in rest if Path(word).is_file()]
    paths = [word for word in rest if word not in files]
    if len(paths) != 1 or len(files) > 1:
        raise OperatorError("one path is needed", hint=USAGE)
    file = Path(files[0]) if files else _applied()
    try:
        found = values(read_xml(file.read_bytes(), str(file)), paths[0])
    except OSError as error:
        raise NotFoundError(f"{file}: {error.strerror}") from error
    for text in found:
        sys.stdout.write(f"{text}\n")
    return 0 if found else 1


def _applied() -> Path:
    place = os.environ.get("SAFEUSERCONF")
    if not place:
        raise OperatorError("which file?", hint=f"SAFEUSERCONF is not set; {USAGE}")
    return Path(place, CONFIGURATION)
