"""Commands that answer a module's scripts from a table, and note what they were asked."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

PACKAGES = Path(__file__).parents[4] / "ops/modules"
LIMIT_S = 20

ANSWER = """\
#!/bin/bash
# Answers with the file that is named after the question, or after its first two words; without one says nothing.
name=$(basename "$0")
echo "$name $*" >>"{asked}"
for question in "$name $*" "$name $1"; do
    file="{answers}/$(tr '/' '|' <<<"$question")"
    if [ -e "$file" ]; then
        sed 1d "$file"
        exit "$(head -n 1 "$file")"
    fi
done
exit 0
"""


class Stage:
    """A directory with stand-ins for commands, in front of the machine's own."""

    def __init__(self, folder: Path, package: str, commands: tuple[str, ...]) -> None:
        self._package = package
        self._folder = folder
        for name in ("commands", "answers", "safe"):
            (folder / name).mkdir()
        (folder / "asked").touch()
        text = ANSWER.format(asked=folder / "asked", answers=folder / "answers")
        for path in [*(folder / "commands" / name for name in commands), folder / "safe" / "safekit"]:
            path.write_text(text)
            path.chmod(0o755)

    def answer(self, question: str, output: str = "", code: int = 0) -> None:
        """What a command prints, and its exit code: for these arguments, or for all that begin with one word."""
        (self._folder / "answers" / question.replace("/", "|")).write_text(f"{code}\n{output}")

    def run(self, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the package, as a module does, for at most `LIMIT_S`."""
        return subprocess.run(
            [PACKAGES / self._package / "bin" / script, *arguments],
            env=self.environment(variables),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The environment of a script: our commands first."""
        path = f"{self._folder / 'commands'}:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "SAFE": str(self._folder / "safe"), "SAFEMODULE": "shop", **variables}

    def asked(self, *words: str) -> list[str]:
        """The questions so far, of these commands (all when none is given), in order."""
        lines = (self._folder / "asked").read_text().splitlines()
        return [line for line in lines if not words or line.split(" ")[0] in words]
