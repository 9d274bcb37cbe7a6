"""What `salience monitor` prints: a line per look, and what to do about the newest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.display import make_console

_COLOURS = {"RETRAIN": "red", "ROLLBACK": "red", "HOLD": "yellow", "IGNORE": "green"}
_BAD = {"fails": "red", "notice": "yellow", "unknown": "dim"}


def print_looks(found: Mapping[str, Any]) -> None:
    """Print every look of a run, model by model."""
    console = make_console()
    if not found["models"]:
        console.print("No model has a champion yet. Next: salience train lead")
        return
    for task, looks in found["models"].items():
        _print_model(console, task, looks)
    for task, record in found.get("retrained", {}).items():
        what = record.get("skipped") or f"version {record['version']}, {record['decision']}. {record['reason']}"
        console.print(f"[bold]Retrained[/] {task}: {what}", soft_wrap=True)


def _print_model(console: Console, task: str, looks: list[dict[str, Any]]) -> None:
    console.print()
    if not looks:
        console.print(f"[bold]{task}[/]: nothing was due")
        return
    table = Table(title=f"{task} model", title_justify="left", box=None, pad_edge=False)
    for name in ("window until", "version", "verdict", "decision", "costs", "what moved, fails or cannot be told"):
        table.add_column(name, overflow="fold")
    for look in looks:
        told = [f"[{_BAD[state]}]{name}[/]" for name, state in look["checks"].items() if state in _BAD]
        cost = "" if look["cost_share"] is None else f"{look['cost_share']:.0%}"
        decision = f"[{_COLOURS[look['decision']]}]{look['decision']}[/]"
        table.add_row(look["window"][1][:10], look["version"], look["verdict"], decision, cost, ", ".join(told))
    console.print(table)
    newest = looks[-1]
    console.print(f"{newest['decision']}: {newest['reason']}", soft_wrap=True)
    for line in newest["alerts"]:
        console.print(f"alert {line}", style="dim", soft_wrap=True)
    console.print(f"[bold]Page[/]  {newest['page']}", soft_wrap=True)
