"""Documentation of the contracts, made from the contracts: one Markdown page per canonical table and an index."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from common.whole_files import write_whole
from warehouse.contracts import CONTRACTS, Column, Contract, Known
from warehouse.views import all_columns

INDEX = "README.md"
_MADE = "<!-- Made from warehouse/contracts.py by warehouse.contract_pages.write_contract_pages; do not edit. -->"
_UNITS = {
    "_usd": "US dollars",
    "_pct": "percent",
    "_days": "days",
    "_hours": "hours",
    "_minutes": "minutes",
    "_seconds": "seconds",
    "_count": "count",
    "_probability": "probability",
}
_TYPE_UNITS = {"timestamp": "UTC, microseconds", "date": "day"}
_TYPES = {
    "string": "text",
    "float": "number",
    "int": "whole number",
    "bool": "true or false",
    "timestamp": "time",
    "date": "date",
}
_KNOWN = {Known.ALWAYS: "from `created_timestamp` on", Known.AT_OUTCOME: "**at the outcome only**"}
_KINDS = {
    "versioned": "versioned: a row is one version of a thing, all its columns as they were from `event_timestamp` on. "
    "A change, a correction and a deletion are new rows; the newest visible version is the state",
    "event": "event: a row is one thing that happened. A correction is a new row under the same key; the newest "
    "visible row counts",
}
_INDEX = """# The canonical tables

Every source is mapped to these tables, and everything else reads only them. A row that breaks its table's contract
goes to quarantine with the reason; the rest goes in.

## The two times of every row

- `event_timestamp`: when it happened.
- `created_timestamp`: when it could first be known, such as the moment it was entered or loaded.

Both are UTC with microseconds and never missing. A row is visible at a moment when **both** are at or before it: it had
happened, and it was known. Of several visible versions of a thing the one with the newest `event_timestamp` counts,
then the newest `created_timestamp`. History is never rewritten: late and corrected records are new rows with a later
`created_timestamp`, so that what was known last month can always be told from what is known today.

## How to read the pages

- **Key**: the column that names the thing (versioned tables) or the event. It may occur many times, once per version.
- **Required**: a row without a value breaks the contract. Other missing values are null, never 0.
- **Known**: when the value is first known. What is known at the outcome only is an answer, never a feature.
- **Personal**: it names or describes a person, and `salience forget` empties it; the id of a person is replaced.
- Columns named `custom_…` are a source's own fields, kept with their type beside these.

## Tables

"""


def contract_page(contract: Contract) -> str:
    """The page of one table, Markdown."""
    heads = ("Column", "Type", "Unit", "Required", "Valid values", "Known", "Personal", "Meaning")
    rows = [_cells(column, contract) for column in all_columns(contract)]
    personal = [column.name for column in contract.columns if column.personal]
    lines = [
        f"# {contract.table}\n\n{_MADE}\n",
        f"{contract.about}\n",
        f"- Kind: {_KINDS[contract.kind]}.",
        f"- Key: `{contract.key}`, the {'thing' if contract.kind == 'versioned' else 'event'} a row is about.",
        f"- Known at the outcome only: {_names(contract.outcome_columns)}.",
        f"- Personal data: {_names(personal)}.",
        f"- Times: explained in [the index]({INDEX}).\n",
        _markdown_table(heads, rows),
    ]
    return "\n".join(lines)


def contract_index(contracts: Iterable[Contract]) -> str:
    """The index: what holds for every table, and the list of tables."""
    rows = [
        (f"[{contract.table}]({contract.table}.md)", contract.kind, f"`{contract.key}`", _escaped(contract.about))
        for contract in contracts
    ]
    return _INDEX.replace("\n\n", f"\n\n{_MADE}\n\n", 1) + _markdown_table(("Table", "Kind", "Key", "A row is"), rows)


def write_contract_pages(
    folder: Path, *, contracts: Iterable[Contract] = tuple(CONTRACTS.values())
) -> tuple[Path, ...]:
    """Write the index and a page per table, each whole or not at all; returns the files.

    Args:
        folder: Where to; made if it is absent. Pages of tables that no longer exist are removed.
        contracts: The tables; those of a warehouse include its custom columns.
    """
    listed = tuple(contracts)
    pages = {INDEX: contract_index(listed)} | {f"{each.table}.md": contract_page(each) for each in listed}
    for path in folder.glob("*.md"):
        if path.name not in pages and _MADE in path.read_text(encoding="utf-8"):
            path.unlink()
    for name, text in pages.items():
        write_whole(folder / name, text)
    return tuple(folder / name for name in pages)


def unit_of(column: Column) -> str:
    """The unit that a column's name or type tells; empty for words and plain numbers."""
    suffix = next((unit for ending, unit in _UNITS.items() if column.name.endswith(ending)), "")
    return suffix or _TYPE_UNITS.get(column.dtype, "")


def _cells(column: Column, contract: Contract) -> tuple[str, ...]:
    name = f"`{column.name}`" + (" (key)" if column.name == contract.key else "")
    return (
        name,
        _TYPES[column.dtype],
        unit_of(column),
        "yes" if column.required else "",
        _valid(column),
        _KNOWN[column.known],
        _personal(column),
        _escaped(column.about),
    )


def _valid(column: Column) -> str:
    if column.allowed is not None:
        return ", ".join(f"`{_escaped(value)}`" for value in column.allowed)
    if column.minimum is not None and column.maximum is not None:
        return f"{column.minimum:g} to {column.maximum:g}"
    if column.minimum is not None:
        return f"{column.minimum:g} or more"
    return "" if column.maximum is None else f"{column.maximum:g} or less"


def _personal(column: Column) -> str:
    return "yes" if column.personal else f"id of a {column.person}" if column.person else ""


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _markdown_table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    write_contract_pages(Path(sys.argv[1]))
