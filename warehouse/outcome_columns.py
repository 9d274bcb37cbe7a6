"""Which values of a mapping are known only at the outcome, followed through its views by reading DuckDB's parse trees.

A file's column marked `known: at_outcome` may not slip into a canonical column that is known always: that would be the
answer in a feature. Following is by name and cautious: a view's column that is made from a late one is late, and the
rows of a view that are chosen by a late one exist only because of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from warehouse.contracts import CONTRACTS, TIME_COLUMNS, Known
from warehouse.views import literal, open_connection

if TYPE_CHECKING:
    from warehouse.mapping import Mapping, Table

_ROW_CHOICES = ("where_clause", "having", "qualify", "condition", "group_expressions")
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Late:
    """What is late in a relation.

    Args:
        columns: Columns known only at the outcome.
        chosen_by: Late columns that choose its rows.
    """

    columns: frozenset[str]
    chosen_by: frozenset[str] = _NOTHING


def refuse_early_outcomes(mapping: Mapping) -> None:
    """Check that what is known only at the outcome stays there.

    Raises:
        ValueError: naming the first table entry and column at fault, or a query that cannot be parsed.
    """
    if not any(file.outcome_columns for file in mapping.files.values()):
        return
    late = {name: _Late(file.outcome_columns) for name, file in mapping.files.items()}
    with _Parser() as parser:
        for name, query in mapping.views.items():
            late[name] = _late_in_view(parser.tree(query, f"views.{name}"), late)
        for number, table in enumerate(mapping.tables):
            place = f"tables.{number} ({table.table} from {table.relation})"
            if not table.at_closing and (late[table.relation].columns or late[table.relation].chosen_by):
                _refuse_early(parser, place, table, late[table.relation])


@cache
def relations_read(query: str) -> frozenset[str]:
    """Names of the tables and views that a query reads.

    Raises:
        ValueError: if DuckDB cannot parse the query.
    """
    with _Parser() as parser:
        return frozenset(_table_names(parser.tree(query, "a view")))


def columns_read(table: Table) -> frozenset[str]:
    """Columns of its file or view that a table entry reads.

    Raises:
        ValueError: if DuckDB cannot parse one of its expressions.
    """
    conditions = [rule.when for rule in table.quarantine] + ([table.where] if table.where else [])
    items = ", ".join(f"({expression})" for expression in (*table.expressions.values(), *conditions))
    with _Parser() as parser:
        return frozenset(_column_names(parser.tree(f"SELECT {items}", f"{table.table} from {table.relation}")))


class _Parser:
    """DuckDB's parser: one connection for all queries of a mapping."""

    def __enter__(self) -> _Parser:
        self._connection = open_connection()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def tree(self, query: str, place: str) -> Any:
        """The parse tree of a query; `place` says in an error where it stands."""
        text = self._connection.execute(f"SELECT json_serialize_sql({literal(query)})").fetchall()[0][0]
        tree = json.loads(text)
        if tree["error"]:
            raise ValueError(f"{place}: {tree['error_message']}")
        return tree["statements"]

    def late_names(self, expression: str, late: _Late, place: str) -> frozenset[str]:
        """Late columns that an expression reads."""
        return frozenset(_column_names(self.tree(f"SELECT ({expression})", place))) & late.columns


def _refuse_early(parser: _Parser, place: str, table: Table, late: _Late) -> None:
    chosen_by = late.chosen_by
    for condition in (*((table.where,) if table.where else ()), *(rule.when for rule in table.quarantine)):
        chosen_by |= parser.late_names(condition, late, place)
    if chosen_by:
        raise ValueError(
            f"{place}: which rows there are hangs on {_listed(chosen_by)}, known only at the outcome; "
            "mark the entry `at_closing: true` if its rows are known only then"
        )
    known = {column.name: column.known for column in (*CONTRACTS[table.table].columns, *table.extension_columns)}
    expressions = table.expressions or {name: f'"{name}"' for name in late.columns if name in (*known, *TIME_COLUMNS)}
    for name, expression in expressions.items():
        found = parser.late_names(expression, late, place)
        if found and known.get(name, Known.ALWAYS) is Known.ALWAYS:
            raise ValueError(
                f"{place}: {name} is known always but reads {_listed(found)}, known only at the outcome; "
                "leave it out, or mark the entry `at_closing: true` if its rows are known only then"
            )


def _late_in_view(tree: Any, relations: dict[str, _Late]) -> _Late:
    """What is late in a view: what it reads that is, and each alias made from it, until nothing is added."""
    read = [relations[name] for name in _table_names(tree) if name in relations]
    columns = frozenset[str]().union(*(late.columns for late in read))
    if columns:
        columns |= frozenset(_positional_names(tree))
    while True:
        made = columns | {alias for node in _nodes(tree, "select_list") for alias in _late_aliases(node, columns)}
        if made == columns:
            break
        columns = made
    choices = [node[part] for part in _ROW_CHOICES for node in _nodes(tree, part)]
    chosen_by = frozenset(name for choice in choices for name in _column_names(choice)) & columns
    return _Late(columns, chosen_by.union(*(late.chosen_by for late in read)))


def _late_aliases(select: dict[str, Any], late: frozenset[str]) -> Iterator[str]:
    """Names a select list gives to what it makes from late columns."""
    for item in select["select_list"]:
        if item.get("alias") and late.intersection(_column_names(item)):
            yield item["alias"]
        for change in item.get("replace_list") or ():
            if late.intersection(_column_names(change["value"])):
                yield change["key"]
        for change in item.get("rename_list") or ():
            if change["key"]["column"] in late:
                yield change["value"]


def _positional_names(tree: Any) -> Iterator[str]:
    """Names given by position, as in ``(SELECT …) AS t(a, b)``: of anything but constants they may be late."""
    for part in ("column_name_alias", "aliases"):
        for node in _nodes(tree, part):
            if any(_table_names(node)):
                yield from node[part]


def _walk(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _walk(child)


def _nodes(tree: Any, part: str) -> Iterator[dict[str, Any]]:
    return (node for node in _walk(tree) if node.get(part))


def _column_names(tree: Any) -> Iterator[str]:
    return (node["column_names"][-1] for node in _walk(tree) if node.get("type") == "COLUMN_REF")


def _table_names(tree: Any) -> Iterator[str]:
    return (node["table_name"] for node in _walk(tree) if node.get("type") == "BASE_TABLE")


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
