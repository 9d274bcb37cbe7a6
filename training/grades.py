"""A workspace's own grades: `grades.yaml` beside its warehouse says from which probability on a lead is hot.

    lead: {warm: 0.10, hot: 0.30}
    deal: {medium: 0.30, low: 0.60}

Left out tasks keep the thresholds of their model. The file is read when a batch is scored and when a service loads a
model; every score names the thresholds it was graded by.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import InputError
from common.workspace import Workspace

GRADES_FILE = "grades.yaml"
GRADES: dict[str, tuple[str, str, str]] = {"lead": ("cold", "warm", "hot"), "deal": ("high", "medium", "low")}
"""Grades of a task, least probability first; the first one holds from 0 on."""


def own_grades(workspace: Workspace, task: str) -> dict[str, float] | None:
    """Least probability of each grade by the workspace's file; None where it says none.

    Args:
        workspace: The workspace.
        task: `lead` or `deal`.

    Raises:
        InputError: naming everything in the file that is wrong, of all tasks.
    """
    path = workspace.root / GRADES_FILE
    if not path.is_file():
        return None
    said = _read(path)
    wrong = [problem for name, grades in said.items() for problem in _problems(name, grades)]
    if wrong:
        raise InputError(
            f"{path} does not say grades that can be used: {'; '.join(wrong)}",
            next_step="for example: lead: {warm: 0.1, hot: 0.3}",
        )
    if task not in said:
        return None
    return {GRADES[task][0]: 0.0, **{name: float(said[task][name]) for name in GRADES[task][1:]}}


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML", got=str(error).splitlines()[0]) from error
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise InputError(f"{path} does not say grades by task", expected="lead: and deal:", got=type(said).__name__)
    return said


def _problems(task: str, grades: Any) -> list[str]:
    known = GRADES.get(task)
    if known is None:
        return [f"there is no task '{task}', only {' and '.join(GRADES)}"]
    needed = known[1:]
    if not isinstance(grades, dict) or set(grades) != set(needed):
        got = ", ".join(str(name) for name in grades) if isinstance(grades, dict) else repr(grades)
        return [f"{task} needs {' and '.join(needed)}, got {got or 'nothing'}"]
    odd = [name for name in needed if isinstance(grades[name], bool) or not isinstance(grades[name], int | float)]
    if odd:
        return [f"{task}: {name} is no number ({grades[name]!r})" for name in odd]
    low, high = (float(grades[name]) for name in needed)
    if not 0.0 < low < high < 1.0:
        return [f"{task}: 0 < {needed[0]} < {needed[1]} < 1 does not hold for {low:g} and {high:g}"]
    return []
