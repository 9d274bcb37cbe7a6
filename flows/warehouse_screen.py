"""What the warehouse's commands print: counts, checks, findings, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

    from flows.forget_person import Forgotten
    from warehouse.mapping_check import CheckReport
    from warehouse.quarantine import QuarantineCount
    from warehouse.retry import RetryReport

_COUNTS = ("read", "loaded", "corrected", "known", "quarantined")
_HEADS = {"corrected": "of them corrections", "known": "already known"}
_MOST_FINDINGS = 12
_MOST_CHARACTERS = 48


def print_ingest(console: Console, record: Mapping[str, Any]) -> None:
    """Rows read, loaded, known, corrected and quarantined per table; then the reasons, and what one should know."""
    table = _table("table", *(_HEADS.get(name, name) for name in _COUNTS))
    for name, counts in record["tables"].items():
        table.add_row(name, *(f"{counts[what]:,}" for what in _COUNTS))
    if len(record["tables"]) > 1:
        sums = (sum(counts[what] for counts in record["tables"].values()) for what in _COUNTS)
        table.add_section()
        table.add_row("all", *(f"{total:,}" for total in sums), style="bold")
    console.print(table)
    if record["unchanged"]:
        console.print(f"{len(record['unchanged'])} unchanged files were not read again.", style="dim")
    reasons = [
        (name, reason, rows) for name, counts in record["tables"].items() for reason, rows in counts["reasons"].items()
    ]
    if reasons:
        _print_reasons(console, reasons)
        console.print("Next: `salience quarantine list`; after mending the mapping, `salience quarantine retry`")
    for remark in record["remarks"]:
        console.print(f"· {remark}", style="dim", soft_wrap=True)
    console.print(f"warehouse: {record['folder']}", soft_wrap=True)


def _print_reasons(console: Console, reasons: Sequence[tuple[str, str, int]]) -> None:
    table = _table("quarantined in", "rows", "reason", left=("reason",))
    for name, reason, rows in sorted(reasons, key=lambda each: -each[2]):
        table.add_row(name, f"{rows:,}", reason)
    console.print()
    console.print(table)


def print_check(console: Console, report: CheckReport) -> None:
    """A mapping's dry run: rows per table, reasons, warnings and the first rows as they would land."""
    for check in report.tables:
        console.print(
            f"[bold]{check.table}[/] from {', '.join(check.relations)}: {check.read:,} rows, {check.good:,} would "
            f"land, {check.bad:,} would go to quarantine",
            soft_wrap=True,
        )
        for reason, rows in check.reasons.items():
            console.print(f"  quarantine: {reason} ({rows:,} rows)", soft_wrap=True)
        for column, values in check.unmatched.items():
            found = ", ".join(f"{value!r} ({rows:,})" for value, rows in values.items())
            console.print(f"  no word of {column}: {found}", soft_wrap=True)
        for warning in check.warnings:
            console.print(f"  ! {warning}", style="yellow", soft_wrap=True)
        if check.first_rows.num_rows:
            print_rows(console, check.first_rows)
        if check.lacking:
            console.print(f"  not mapped: {', '.join(check.lacking)}", style="dim", soft_wrap=True)
    for remark in report.remarks:
        console.print(f"· {remark.text}", style="dim", soft_wrap=True)
    for warning in report.warnings:
        console.print(f"! {warning}", style="yellow", soft_wrap=True)
    console.print("Nothing was written.")


def print_rows(console: Console, rows: pa.Table) -> None:
    """Rows as a table; where it is wider than the screen, one row below the other."""
    cells = [[_cell(value) for value in row.values()] for row in rows.to_pylist()]
    widths = [max([len(name), *(len(row[at]) for row in cells)]) + 2 for at, name in enumerate(rows.column_names)]
    if sum(widths) <= console.width:
        table = _table(*rows.column_names, left=rows.column_names)
        for row in cells:
            table.add_row(*row)
        console.print(table)
        return
    for number, row in enumerate(cells, start=1):
        filled = [f"{name}={text}" for name, text in zip(rows.column_names, row, strict=True) if text]
        console.print(f"{number:>3}  {'  '.join(filled)}", soft_wrap=True)


def _cell(value: object) -> str:
    text = "" if value is None else f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "hour") else str(value)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def print_quality(console: Console, record: Mapping[str, Any]) -> None:
    """The verdict, the score of each table, and the costliest findings with what to do about each."""
    console.print(record["verdict"], style="bold", soft_wrap=True)
    if record["tables"]:
        table = _table("table", "score")
        for name, score in record["tables"].items():
            table.add_row(name, "–" if score is None else f"{score:.0f}")
        console.print(table)
    for finding in record["findings"][:_MOST_FINDINGS]:
        console.print(f"[bold]{finding['table']}[/] ({finding['severity']}): {finding['what']}", soft_wrap=True)
        console.print(f"  → {finding['advice']}", style="dim", soft_wrap=True)
    if len(record["findings"]) > _MOST_FINDINGS:
        console.print(f"{len(record['findings']) - _MOST_FINDINGS} more findings are in the report.", style="dim")
    console.print(f"report: {record['page']}", soft_wrap=True)


def print_quarantine(console: Console, counts: Sequence[QuarantineCount]) -> None:
    """Rows held, by table, origin and reason."""
    if not counts:
        console.print("The quarantine is empty.")
        return
    table = _table("table", "rows", "first", "origin", "reason", left=("origin", "reason"))
    for count in counts:
        table.add_row(count.table, f"{count.rows:,}", f"{count.first:%Y-%m-%d %H:%M}", count.origin, count.reason)
    console.print(table)


def print_held(console: Console, rows: pa.Table, *, total: int) -> None:
    """Rows in quarantine one below the other, as they came."""
    for row in rows.to_pylist():
        console.print(f"[bold]{row['id']}[/] {row['table']} from {row['origin']}: {row['reason']}", soft_wrap=True)
        console.print(f"  {row['row']}", style="dim", soft_wrap=True, markup=False)
    if total > rows.num_rows:
        console.print(f"{total - rows.num_rows:,} more; --limit shows more of them.", style="dim")
    if total == 0:
        console.print("The quarantine holds no such row.")


def print_retry(console: Console, report: RetryReport, *, with_data: bool) -> None:
    """What became of the rows that were tried again."""
    console.print(
        f"{report.tried:,} tried: {report.released + report.superseded:,} are in the warehouse now, "
        f"{report.left_out:,} are no longer wanted by the mapping, {report.kept:,} stay"
    )
    for reason, rows in report.reasons.items():
        console.print(f"  stays: {reason} ({rows:,} rows)", soft_wrap=True)
    if report.kept and not with_data:
        console.print("A mended mapping reaches rows in canonical columns through the source's files: give --data")


def print_forgotten(console: Console, forgotten: Forgotten) -> None:
    """What was erased, what was computed again, and where the person may still be."""
    rows = ", ".join(f"{count:,} of {table}" for table, count in forgotten.rows.items()) or "none"
    console.print(f"Erased. Rows changed: {rows}; taken out of quarantine: {forgotten.quarantined:,}.")
    if forgotten.deleted:
        again = "; features and scores were computed again" if forgotten.rebuilt else ""
        console.print(f"{len(forgotten.deleted)} files computed from them were deleted{again}.")
    if forgotten.elsewhere:
        console.print("Still held where only their owner may change it:", style="yellow")
        for path in forgotten.elsewhere:
            console.print(f"  {path}", style="yellow", soft_wrap=True)
        console.print("Should a source deliver the person again, the rows enter without saying who they are.")
    console.print(f"proof: {forgotten.proof}", soft_wrap=True)


def _table(*heads: str, left: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False)
    for position, head in enumerate(heads):
        table.add_column(head, justify="left" if position == 0 or head in left else "right", overflow="fold")
    return table
