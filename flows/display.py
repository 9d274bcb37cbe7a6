"""Progress of long work: a bar while it runs and one line when it is done, on a terminal or in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_bar: ContextVar[Progress | None] = ContextVar("bar", default=None)
_lines: ContextVar[Console | None] = ContextVar("lines", default=None)


def make_console() -> Console:
    """The terminal; wide enough for tables where there is no terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def report_progress(what: str, done: int, total: int) -> None:
    """Move the running step's bar; does nothing where no bar is shown (a worker, a test).

    Args:
        what: What is being done just now.
        done: Units done.
        total: Units in all; 0 when that is not known.
    """
    bar, lines = _bar.get(), _lines.get()
    if bar is not None and bar.task_ids:
        bar.update(
            bar.task_ids[-1], detail=f"{what} {done}/{total}" if total else what, completed=done, total=total or None
        )
    if lines is not None:
        lines.print(f"  {what}" + (f" {done} of {total}" if total else ""), style="dim", soft_wrap=True)


@contextmanager
def step_shown(console: Console, title: str) -> Iterator[None]:
    """Show one long step: as a bar on a terminal, elsewhere as a line for each thing done."""
    if console.is_terminal:
        with step_bar(console, title):
            yield
        return
    console.print(title, soft_wrap=True)
    token = _lines.set(console)
    try:
        yield
    finally:
        _lines.reset(token)


@contextmanager
def step_bar(console: Console, title: str) -> Iterator[None]:
    """Show a bar for one step while the block runs, and take it away afterwards; a log gets none."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    if not console.is_terminal:
        yield
        return

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        bar.add_task(title, total=None, detail="")
        token = _bar.set(bar)
        try:
            yield
        finally:
            _bar.reset(token)


class StepList:
    """Prints each step of a run as it ends: its title, how long it took, what came of it, or that it was reused.

    Args:
        console: Where to print.
        count: Number of steps to come.
    """

    def __init__(self, console: Console, count: int) -> None:
        self._console = console
        self._count = count
        self._done = 0

    @contextmanager
    def step(self, title: str) -> Iterator[StepLine]:
        """Run one step under a bar; the block fills in the line that stays."""
        line = StepLine()
        started = time.monotonic()
        with step_bar(self._console, f"[{self._done + 1:>2}/{self._count}] {title}"):
            yield line
        self._done += 1
        mark = "[cyan]reused[/]" if line.is_reused else f"{time.monotonic() - started:5.1f} s"
        self._console.print(f"[green]✓[/] [{self._done:>2}/{self._count}] {title:<34} {mark:>8}  [dim]{line.text}[/]")


class StepLine:
    """What a finished step says of itself."""

    def __init__(self) -> None:
        self.text = ""
        self.is_reused = False
