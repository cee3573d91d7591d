"""`gencron add|del USER all|TEXT [-c COMMENT]`: comments entries of a user's crontab in (add) and out (del).

So jobs of an application run where the application does. An entry is meant when its command contains TEXT. What is
commented out is marked, so that `add` brings back exactly what `del` took away.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Sequence

from holdfast.errors import EnvironmentFaultError

MARK = "#holdfast# "
CRONTAB_S_MAX = 30.0


def main(words: Sequence[str]) -> int:
    """Change the crontab when it has to be; the same again changes nothing."""
    parser = argparse.ArgumentParser(prog="gencron", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("verb", choices=("add", "del"))
    parser.add_argument("user")
    parser.add_argument("text", metavar="all|TEXT")
    parser.add_argument("-c", dest="comment", default="", help="written above what is commented out")
    given = parser.parse_args(list(words))
    before = _read(given.user)
    after = changed(before, verb=given.verb, text="" if given.text == "all" else given.text, comment=given.comment)
    if after != before:
        _write(given.user, after)
    return 0


def changed(crontab: str, *, verb: str, text: str, comment: str = "") -> str:
    """The crontab with the entries meant commented in or out."""
    note = f"{MARK}{comment}\n" if comment else ""
    lines: list[str] = []
    for line in crontab.splitlines(keepends=True):
        line = line if line.endswith("\n") else f"{line}\n"
        if verb == "add":
            bare = line.removeprefix(MARK)
            is_ours = bare != line and _is_entry(bare) and text in bare
            lines += [] if note and line == note else [bare if is_ours else line]
        elif _is_entry(line) and text in line:
            lines += [note, f"{MARK}{line}"] if note and note not in lines else [f"{MARK}{line}"]
        else:
            lines.append(line)
    return "".join(lines)


def _is_entry(line: str) -> bool:
    """A job: five fields or an @word before the command (crontab(5)); no comment, no variable."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return False
    if words[0].startswith("@"):
        return len(words) > 1
    return len(words) > 5 and all(field[0].isalnum() or field[0] == "*" for field in words[:5]) and words[1] != "="


def _read(user: str) -> str:
    done = _crontab("-u", user, "-l")
    if done.returncode != 0 and "no crontab" not in done.stderr:
        raise EnvironmentFaultError(f"the crontab of {user} cannot be read: {done.stderr.strip()}")
    return done.stdout if done.returncode == 0 else ""


def _write(user: str, text: str) -> None:
    done = _crontab("-u", user, "-", text=text)
    if done.returncode != 0:
        raise EnvironmentFaultError(f"the crontab of {user} cannot be written: {done.stderr.strip()}")


def _crontab(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["crontab", *words], input=text, capture_output=True, text=True, timeout=CRONTAB_S_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFaultError(f"crontab cannot be used: {error}", hint="is cron installed?") from error
