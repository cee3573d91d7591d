"""What the demonstration shows while it runs: a live list of steps on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

_REFRESH_PER_S: Final = 8


class Screen:
    """Shows steps with how long they took, and below them a status that is asked for at each refresh."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._current = ""
        self._status: Callable[[], str] = lambda: ""
        self._live = (
            Live(console=console, get_renderable=self._render, refresh_per_second=_REFRESH_PER_S, transient=True)
            if console.is_terminal
            else None
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the live part for as long as the context lasts."""
        if self._live is None:
            yield
            return
        with self._live:
            yield

    def watch(self, status: Callable[[], str]) -> None:
        """What to show below the current step from now on."""
        self._status = status

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Something is being done; it is listed when it is done."""
        began = time.monotonic()
        self._current = text
        if self._live is None:
            self._line("…", text, "")
        yield
        self._current = ""
        self._line("✓", text, f"{time.monotonic() - began:.1f} s")

    def note(self, text: str) -> None:
        """Something worth knowing."""
        self._line("·", text, "")

    def _line(self, sign: str, text: str, took: str) -> None:
        at = time.monotonic() - self._began
        line = Text(f"{at:6.1f} s  {sign} ")
        line.append(text)
        if took:
            line.append(f"  {took}", style="dim")
        self._console.print(line, soft_wrap=True)

    def _render(self) -> RenderableType:
        if not self._current:
            return Text("")
        status = self._status()
        parts: list[RenderableType] = [Spinner("dots", text=Text(self._current))]
        if status:
            parts.append(Text(f"  {status}", style="dim"))
        return Group(*parts)
