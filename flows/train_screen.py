"""What `salience train` prints at the end: the verdict, the figures beside the baselines, where the report is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from flows.screen import print_forecast, print_quality

if TYPE_CHECKING:
    from rich.console import Console

_STATUS_COLOUR = {"ready": "green", "usable with care": "yellow", "not ready": "red", "no signal found": "red"}


def print_training(console: Console, record: Mapping[str, Any]) -> None:
    """A training's outcome."""
    decision = record["decision"]
    colour, word = ("green", "is the champion now") if decision["promoted"] else ("yellow", "stays out")
    console.print(f"[bold]{escape(record['model'])} version {record['version']}[/] [{colour}]{word}[/]")
    _print_verdict(console, record.get("verdict"))
    task = record["task"]
    if task == "forecast":
        print_forecast(console, record)
    else:
        print_quality(console, {f"train-{task}": record})
    console.print()
    for reused in record.get("reused", ()):
        console.print(f"[bold]Reused[/]  {escape(reused)}", soft_wrap=True)
    console.print(f"[bold]Report[/]  {_near(record['report'])}", soft_wrap=True)
    model = "" if task == "lead" else f" --model {task}"
    suffix = model + _source(record["model"], task)
    console.print(f"[bold]Next[/]    salience models show {record['version']}{suffix}   or   salience models list")


def _print_verdict(console: Console, verdict: Mapping[str, Any] | None) -> None:
    """The report's verdict: whether the model can be worked with, why, and what to do."""
    if verdict is None:
        return
    status = verdict["status"]
    console.print()
    console.print(f"[bold {_STATUS_COLOUR[status]}]{status.capitalize()}[/]")
    for sentence in verdict["sentences"]:
        console.print(f"  {escape(sentence)}", soft_wrap=True)
    for action in verdict["actions"]:
        console.print(f"  → {escape(action)}", soft_wrap=True)


def _source(name: str, task: str) -> str:
    workspace = name.removesuffix(f"-{task}")
    return "" if workspace == "simulated" else f" --source {workspace}"


def _near(path: str) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
