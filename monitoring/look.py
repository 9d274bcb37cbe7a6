"""A look at a model as it is kept: one file each, and the windows that are due."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common.clock import parse_moment, utc
from common.whole_files import whole_file
from common.workspace import Workspace
from monitoring.checks import Check


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of one model at one moment.

    Args:
        look_id: Identifier; names the folder and the records.
        task: lead, deal or forecast.
        model: Registered model.
        version: Version that was champion.
        window: First and last moment of the current rows, UTC.
        checks: What was found.
        report: Page of the drift report; None where nothing could be compared.
        facts: `new_labels`, `rows`, and whatever else the page and the policy need, JSON values.
    """

    look_id: str
    task: str
    model: str
    version: str
    window: tuple[datetime, datetime]
    checks: tuple[Check, ...]
    report: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def end(self) -> datetime:
        """End of the window."""
        return self.window[1]

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "look_id": self.look_id,
            "task": self.task,
            "model": self.model,
            "version": self.version,
            "window": [moment.isoformat() for moment in self.window],
            "checks": [check.as_dict() for check in self.checks],
            "report": self.report,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Look:
        """The look that `as_dict` described."""
        start, end = (parse_moment(text) for text in values["window"])
        checks = tuple(Check.from_dict(check) for check in values["checks"])
        return cls(**{**values, "window": (start, end), "checks": checks})


def looks_folder(workspace: Workspace, task: str) -> Path:
    """Where the looks at a task's model are kept."""
    return workspace.reports / "monitoring" / task


def read_looks(workspace: Workspace, task: str) -> list[Look]:
    """All looks, oldest window first."""
    files = sorted(looks_folder(workspace, task).glob("look-*.json"))
    looks = [Look.from_dict(json.loads(path.read_text(encoding="utf-8"))) for path in files]
    return sorted(looks, key=lambda look: (look.end, look.look_id))


def keep_look(workspace: Workspace, look: Look) -> Path:
    """Write a look, whole or not at all."""
    path = looks_folder(workspace, look.task) / f"{look.look_id}.json"
    with whole_file(path) as partial:
        partial.write_text(json.dumps(look.as_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def due_ends(
    *, now: datetime, every_days: float, newest: datetime | None, since: datetime | None = None, first: int = 1
) -> list[datetime]:
    """Ends of the windows that are to be looked at, oldest first: those missed after an outage too.

    Windows end on a fixed grid (multiples of `every_days` from a Monday 00:00 UTC), so that a second run on the same
    day finds nothing left to do.

    Args:
        now: The present.
        every_days: Days between two looks.
        newest: End of the newest window looked at; None if there is none.
        since: Look at every window that ends at or after this moment, whatever was looked at.
        first: How many windows to look at where none was looked at yet.

    Example:
        >>> now = datetime(2026, 1, 1, tzinfo=UTC)
        >>> [end.date().isoformat() for end in due_ends(now=now, every_days=7, newest=None, first=2)]
        ['2025-12-22', '2025-12-29']
    """
    step = timedelta(days=every_days)
    monday = datetime(2000, 1, 3, tzinfo=UTC)
    last = monday + (utc(now) - monday) // step * step
    if since is not None:
        count = max(0, (last - utc(since)) // step + 1)
    elif newest is not None:
        count = max(0, (last - utc(newest)) // step)
    else:
        count = first
    return [last - place * step for place in range(count - 1, -1, -1)]


def look_id(model: str, version: str, end: datetime) -> str:
    """Identifier of the look at a version as of a moment."""
    return f"look-{model}-{version}-{end:%Y%m%dT%H%M%SZ}"
