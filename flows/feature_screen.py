"""What the features' commands print: values with their age, rows, changes, and paths compared."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from common.whole_files import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

    from features.comparing import Change, Movement
    from features.explaining import Explanation
    from features.online_reader import OnlineAnswer
    from features.verifying import VerifyReport
    from warehouse.store import Warehouse

_MOST_CHARACTERS = 40


def print_verified(console: Console, report: VerifyReport) -> None:
    """One line per view with what was compared, then every difference with each path's value."""
    table = _table(report.service, "features", "values", "missing", "differ")
    for view in dict.fromkeys(check.view for check in report.features):
        checks = [check for check in report.features if check.view == view]
        sums = [sum(getattr(check, name) for check in checks) for name in ("rows", "missing", "differences")]
        style = "bold red" if sums[2] else ""
        table.add_row(view, str(len(checks)), *(f"{number:,}" for number in sums), style=style)
    console.print(table)
    times = ", ".join(f"{path} {seconds:.1f} s" for path, seconds in report.seconds.items())
    verdict = "[green]equal on all paths[/]" if report.is_equal else "[red]not equal[/]"
    console.print(f"{report.rows:,} random moments (seed {report.seed}): {verdict}; {times}", soft_wrap=True)
    for each in report.differences:
        values = ", ".join(f"{path} {_cell(value)}" for path, value in each.values.items())
        console.print(f"  {each.feature} of {each.entity} at {each.as_of.isoformat()}: {values}", soft_wrap=True)


def print_explanation(console: Console, found: Explanation, *, limit: int) -> None:
    """The value in words and the rows it rests on, the newest first."""
    unit = "" if found.feature.unit == "category" else f" {found.feature.unit}"
    console.print(f"[bold]{found.feature.name}[/] = {_cell(found.value)}{unit}", soft_wrap=True)
    console.print(f"{found.feature.about} As of {found.as_of.isoformat()}.", style="dim", soft_wrap=True)
    if not found.rows:
        console.print(f"No row: there were no {found.scope}.", soft_wrap=True)
    for name, rows in found.rows.items():
        console.print(f"\n[bold]{name}[/]: {rows.num_rows:,} rows ({found.scope})", soft_wrap=True)
        newest = rows.sort_by([("event_timestamp", "descending")]).slice(0, limit)
        # Columns without a value in any row say nothing.
        names = [column for column in newest.column_names if newest[column].null_count < newest.num_rows]
        table = _table(*names, left=tuple(names))
        for row in newest.select(names).to_pylist():
            table.add_row(*(_cell(row[column]) for column in names))
        console.print(table)
        if rows.num_rows > limit:
            console.print(f"and {rows.num_rows - limit:,} older ones (--limit shows more)", style="dim")


def print_online(console: Console, answer: OnlineAnswer, warehouse: Warehouse, service: str, *, now: datetime) -> None:
    """An online answer of one id: each value with its unit, and how old the answer is."""
    from features.catalogue import features_of

    oldest = answer.feature_timestamps[0]
    if not answer.found[0] or oldest is None:
        console.print(f"{answer.ids[0]} is not in the online store. Next: salience features materialize")
        return
    table = _table("feature", "value", "unit", left=("feature", "unit"))
    for feature in features_of(service, warehouse.tables()):
        expired = feature.name in answer.expired[0]
        value = answer.values.get(feature.name, [None])[0]
        table.add_row(feature.name, "[yellow]expired[/]" if expired else _cell(value), feature.unit)
    console.print(table)
    console.print(f"as of {oldest.isoformat()}, {_age(now - oldest)} old; now is {now.isoformat()}", soft_wrap=True)


def print_past(console: Console, frame: pa.Table, warehouse: Warehouse, service: str) -> None:
    """Features as they were at a moment of the past, computed from the warehouse."""
    from features.catalogue import features_of

    row = frame.to_pylist()[0]
    table = _table("feature", "value", "unit", left=("feature", "unit"))
    for feature in features_of(service, warehouse.tables()):
        table.add_row(feature.name, _cell(row.get(feature.name)), feature.unit)
    console.print(table)
    console.print(f"as known at {row['as_of'].isoformat()}, computed from the warehouse", soft_wrap=True)


def print_changes(console: Console, changes: Sequence[Change], *, key: str, before: datetime, after: datetime) -> None:
    """What changed about one entity."""
    table = _table("feature", "before", "after", "unit", left=("feature", "unit"))
    for each in changes:
        table.add_row(each.feature.name, _cell(each.before), _cell(each.after), each.feature.unit)
    console.print(table)
    console.print(f"{len(changes)} features of {key} differ between {before.isoformat()} and {after.isoformat()}")


def print_movements(
    console: Console, moved: Sequence[Movement], *, before: datetime, after: datetime, limit: int = 25
) -> None:
    """Which features of everything open moved most."""
    table = _table("feature", "PSI", "changed", "unit", left=("feature", "unit"))
    for each in moved[:limit]:
        changed = "" if each.changed_share is None else f"{each.changed_share:.0%}"
        table.add_row(each.feature.name, f"{each.psi:.3f}", changed, each.feature.unit)
    console.print(table)
    console.print(f"from {before.isoformat()} to {after.isoformat()}; PSI below 0.1 is quiet, above 0.25 is a lot")


def save_frame(frame: pa.Table, path: Path) -> None:
    """Write a frame as .csv or .parquet, whole or not at all."""
    import pyarrow.csv as csv
    import pyarrow.parquet as parquet

    with whole_file(path) as partial:
        if path.suffix == ".csv":
            csv.write_csv(frame, partial)
        else:
            parquet.write_table(frame, partial)


def _table(first: str, *others: str, left: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in (first, *others):
        table.add_column(name, justify="left" if name == first or name in left else "right", overflow="fold")
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "[dim]missing[/]"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:,.0f}"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    text = str(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _age(gone: Any) -> str:
    seconds = gone.total_seconds()
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"
