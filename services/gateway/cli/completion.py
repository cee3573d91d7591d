"""`holdfast completion`: what a shell needs to complete commands, options and names of modules.

The text is made from the commands themselves and needs no program of ours while somebody types, so it answers at once.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from holdfast.errors import OperatorError
from holdfast.settings import load_settings

from services.gateway.cli.tree import Command, leaves, tree

FUNCTION = "_holdfast"
MODULE_FLAGS = ("-m", "--module")
PROGRAMS = ("holdfast", "safekit")


def run(shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="Whose words it speaks.")]) -> None:
    """Print a script that completes `holdfast` in a shell; have the shell read it at its start.

    bash: into /etc/bash_completion.d/holdfast. zsh: source it. fish: into ~/.config/fish/completions/holdfast.fish.

    Exit codes: 0 printed, 2 no such shell.

    Example: holdfast completion bash > /etc/bash_completion.d/holdfast
    """
    if shell not in SHELLS:
        raise OperatorError(f"no completion for '{shell}'", hint=", ".join(SHELLS))
    typer.echo(SHELLS[shell](tree(), load_settings().state_dir / "modules"), nl=False)


def bash(commands: tuple[Command, ...], modules: Path) -> str:
    """A function for `complete -F` (bash(1), Programmable Completion)."""
    cases = "".join(
        f"        {_case(command)}\n" for command in dict.fromkeys((*commands, *leaves(commands))) if _words(command)
    )
    return f"""# Made by `holdfast completion bash`.
{FUNCTION}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} word first= second=
    COMPREPLY=()
    if [[ $previous == -m || $previous == --module ]]; then
        COMPREPLY=($(compgen -W "$(command ls -- {shlex.quote(str(modules))} 2>/dev/null)" -- "$current"))
        return
    fi
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        if [[ $word != -* && -z $first ]]; then first=$word; elif [[ $word != -* && -z $second ]]; then second=$word; fi
    done
    case "$first $second" in
        " ") word={shlex.quote(" ".join(command.words[0] for command in commands))} ;;
{cases}        *) word= ;;
    esac
    COMPREPLY=($(compgen -W "$word" -- "$current"))
}}
complete -o default -F {FUNCTION} {" ".join(PROGRAMS)}
"""


def zsh(commands: tuple[Command, ...], modules: Path) -> str:
    """The same function through zsh's own support for it (zshcompsys(1), bashcompinit)."""
    return (
        f"autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n{bash(commands, modules)}"
    )


def fish(commands: tuple[Command, ...], modules: Path) -> str:
    """One line for each word that can be typed (complete(1) of fish)."""
    lines = ["# Made by `holdfast completion fish`.", "complete -c holdfast -f"]
    for command in commands:
        lines.append(
            f"complete -c holdfast -n __fish_use_subcommand -a {command.words[0]} -d {_quoted(command.summary)}"
        )
        seen = f'"__fish_seen_subcommand_from {command.words[0]}"'
        lines += [
            f"complete -c holdfast -n {seen} -a {each.words[1]} -d {_quoted(each.summary)}" for each in command.below
        ]
        lines += [line for each in leaves([command]) for line in _fish_options(each, seen, modules)]
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _fish_options(command: Command, seen: str, modules: Path) -> Iterator[str]:
    for option in command.options:
        flags = " ".join(f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags)
        wanted = " -r -F" if option.value else ""
        if option.flags[0] in MODULE_FLAGS:
            wanted = f' -x -a "(command ls -- {shlex.quote(str(modules))} 2>/dev/null)"'
        yield f"complete -c holdfast -n {seen} {flags}{wanted} -d {_quoted(option.help)}"


def _case(command: Command) -> str:
    """The shell's pattern for what was typed so far, and what may follow."""
    first, *second = command.words
    pattern = f'"{first} "' if command.below else f'"{first} {second[0]}"' if second else f'"{first} "*'
    return f"{pattern}) word={shlex.quote(' '.join(_words(command)))} ;;"


def _words(command: Command) -> list[str]:
    if command.below:
        return [each.words[1] for each in command.below]
    return [flag for option in command.options for flag in option.flags] + _choices(command)


def _choices(command: Command) -> list[str]:
    """Words that an argument offers: those between bars in what stands for it."""
    return [
        word for argument in command.arguments if "|" in argument.name for word in argument.name.strip("[]").split("|")
    ]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS: Mapping[str, Callable[[tuple[Command, ...], Path], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
