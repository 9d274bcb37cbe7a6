"""What whoever loads a source should know: columns left out, columns known late, references without a partner."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from common.errors import shorten
from warehouse.connectors.interface import Remark
from warehouse.connectors.opened import OpenedFiles
from warehouse.connectors.relations import raw_sql
from warehouse.mapping import Mapping, Reference
from warehouse.views import literal, quoted

_SHOWN = 10
_LOOKED_AT_ROWS = 100_000
_ALIKE = 0.85


def remarks_on(mapping: Mapping, opened: OpenedFiles | None, read: Collection[str]) -> tuple[Remark, ...]:
    """Remarks on a source, of which the files `read` were read."""
    remarks = [Remark("source", note) for note in mapping.notes]
    for name, file in mapping.files.items():
        late = {alias: file.columns[alias].why for alias in file.columns if alias in file.outcome_columns}
        whys = dict.fromkeys(late.values())
        for why in whys:
            columns = [file.columns[alias].header or alias for alias in late if late[alias] == why]
            remarks.append(Remark("outcome", f"{name}: {', '.join(columns)}: known only at closing ({why})"))
    if opened is not None:
        for name in opened.facts:
            if name in read:
                remarks += _left_out(opened, name)
        for reference in mapping.references:
            if reference.relation in read and reference.to in opened.paths:
                remarks += _lost(opened, reference)
    return tuple(remarks)


def _left_out(opened: OpenedFiles, name: str) -> Iterator[Remark]:
    file = opened.mapping.files[name]
    if not file.columns:
        return
    known = {column.header or alias for alias, column in file.columns.items()} | file.unused.keys()
    for number, facts in enumerate(opened.facts[name]):
        path = opened.paths[name][number].name
        for column in facts.nameless:
            if column not in known:
                empty = _is_empty(opened, name, number, column)
                state = "empty" if empty else "holding text, although it has no name"
                yield Remark("columns", f"{path}: {column} dropped, {state}")
        ignored = [column for column in facts.columns if column not in known and column not in facts.nameless]
        if ignored:
            yield Remark("columns", f"{path}: not read by the mapping: {shorten(ignored, limit=_SHOWN)}")
        lacking = [c.header or a for a, c in file.columns.items() if (c.header or a) not in facts.columns]
        if lacking:
            yield Remark("columns", f"{path}: lacks {', '.join(lacking)}, which are missing in its rows")
    there = {column for facts in opened.facts[name] for column in facts.columns}
    for why in dict.fromkeys(file.unused.values()):
        columns = [column for column in file.unused if file.unused[column] == why and column in there]
        if columns:
            yield Remark("columns", f"{name}: left out ({why}): {', '.join(columns)}")


def _is_empty(opened: OpenedFiles, name: str, number: int, column: str) -> bool:
    """Whether a column holds nothing, in the first rows."""
    rows = raw_sql(opened.mapping.files[name], opened.raw(name, number))
    ((filled,),) = opened.run(
        f"SELECT count(nullif(trim({quoted(column)}::VARCHAR), '')) FROM ({rows} LIMIT {_LOOKED_AT_ROWS})",  # noqa: S608
        name,
    )
    return bool(filled == 0)


def _lost(opened: OpenedFiles, reference: Reference) -> Iterator[Remark]:
    """Values that find no partner, with the nearest one; and the aliases that were joined."""
    opened.require(reference.relation)
    opened.require(reference.to)
    column, key = quoted(reference.column), quoted(reference.key)
    what = f"{reference.relation}.{reference.column}"
    for alias, partner in reference.aliases.items():
        rows = _raw_count(opened, reference, alias)
        if rows:
            yield Remark("reference", f"{what}: '{alias}' ({rows} rows) joined to '{partner}'")
    lost = opened.run(
        f"""SELECT {column}::VARCHAR, count(*) FROM {quoted(reference.relation)}
            WHERE {column} IS NOT NULL AND {column} NOT IN (
              SELECT {key} FROM {quoted(reference.to)} WHERE {key} IS NOT NULL)
            GROUP BY 1 ORDER BY 2 DESC, 1""",  # noqa: S608
        what,
    )
    if lost:
        partners = [str(value) for (value,) in opened.run(f"SELECT DISTINCT {key} FROM {quoted(reference.to)}", what)]  # noqa: S608
        told = [f"'{value}' ({rows} rows{_nearest(value, partners)})" for value, rows in lost]
        yield Remark("reference", f"{what}: not in {reference.to}.{reference.key}: {shorten(told, limit=_SHOWN)}")


def _raw_count(opened: OpenedFiles, reference: Reference, alias: str) -> int:
    """Rows of the file in which the column is written as `alias`."""
    file = opened.mapping.files[reference.relation]
    header = quoted(file.columns[reference.column].header or reference.column)
    total = 0
    for number in range(len(opened.paths[reference.relation])):
        rows = raw_sql(file, opened.raw(reference.relation, number))
        ((count,),) = opened.run(
            f"SELECT count(*) FROM ({rows}) WHERE trim({header}::VARCHAR) = {literal(alias)}",  # noqa: S608
            reference.relation,
        )
        total += count
    return total


def _nearest(value: str, partners: list[str]) -> str:
    """A hint at the partner that is meant, if one is nearly the same."""
    plain = {_plain(partner): partner for partner in partners}
    found = difflib.get_close_matches(_plain(value), plain, n=1, cutoff=_ALIKE)
    return f", perhaps '{plain[found[0]]}'" if found else ""


def _plain(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())
