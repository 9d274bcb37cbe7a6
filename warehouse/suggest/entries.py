"""The table entries of a suggested mapping: an expression per canonical column, and when the rows are known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from warehouse.contracts import CONTRACTS, Known
from warehouse.suggest.columns import Profile
from warehouse.suggest.names import Match, is_named, words
from warehouse.suggest.outcomes import CLOSED
from warehouse.views import literal, quoted

ROW_NUMBER = "row_number_in_file"
"""Name of the column that numbers the rows of a file without keys or times."""

BIRTH = {"leads": "lead_created_at", "opportunities": "opened_at"}
"""The tables whose things are open until they are decided, and the column that says when they began."""

_EXPORTED = "exported_at"
_NAMED_BY_KEY = {"accounts", "reps", "products", "campaigns", "territories"}
_NOT_RECORDED = "'(not recorded)'"
_FIRST_STATE = {"leads": "'new'", "opportunities": "'open'"}
_CREATED = (
    "created date",
    "create date",
    "created on",
    "created at",
    "date created",
    "created",
    "activity date",
    "order date",
    "date",
    "timestamp",
)
_MODIFIED = (
    "last modified date",
    "modified on",
    "last modified",
    "updated at",
    "system modstamp",
    "last updated",
    "modified date",
    "updated on",
)
_DECIDED = {
    "leads": ("converted date", "conversion date", "won date", "date converted", "closed date", "disqualified date"),
    "opportunities": (
        "actual close date",
        "closed date",
        "closed on",
        "closed at",
        "won date",
        "accepted decision date",
        "decision date",
        "close date",
        "date closed",
    ),
}
_FROM_THE_START = {
    "leads": {
        "source",
        "campaign_id",
        "landing_page",
        "company_name",
        "industry",
        "employee_count",
        "country",
        "region",
        "title",
        "email",
    },
    "opportunities": {"account_id", "lead_id", "pipeline", "product_id", "source", "deal_type"},
}
"""What is usually entered with the record itself; the rest is written while it is worked on."""


@dataclass(frozen=True)
class Entry:
    """A suggested table entry of a mapping; `notes` becomes comments, and `view` is a view that it needs."""

    table: str
    relation: str
    columns: dict[str, str]
    event_timestamp: str
    created_timestamp: str
    where: str | None = None
    at_closing: bool = False
    notes: tuple[str, ...] = ()
    view: str | None = None


@dataclass(frozen=True)
class State:
    """The column that says the state of a lead or deal.

    Args:
        profile: The file's column.
        words: Canonical state of each of its values.
        name: Name under which the mapping reads it with its words so replaced.
    """

    profile: Profile
    words: Mapping[str, str]
    name: str


@dataclass(frozen=True)
class Findings:
    """What was found in a file.

    Args:
        table: Canonical table.
        relation: The file's name in the mapping.
        profiles: The file's columns by header.
        matches: Its columns taken for canonical ones.
        late: Columns known only at the outcome, with the evidence.
        state: Canonical states by value of the column that says the state of a lead or deal, and its name once they
            are put in place of its words; None if there is no such column.
    """

    table: str
    relation: str
    profiles: Mapping[str, Profile]
    matches: Mapping[str, Match]
    late: Mapping[str, str] = field(default_factory=dict)
    state: State | None = None


def build_entries(found: Findings) -> tuple[Entry, ...]:
    """The table entries; none if a required column cannot be had from the file."""
    columns = _canonical_columns(found)
    missing = [c.name for c in CONTRACTS[found.table].columns if c.required and c.name not in columns]
    if missing:
        return ()
    if found.table not in BIRTH:
        moment, note = _moment(found)
        return (Entry(found.table, found.relation, columns, moment, moment, notes=(note,)),)
    return (_opening(found, columns), *_later_entries(found, columns))


def value_sql(name: str, profile: Profile) -> str:
    """Expression of the canonical column `name` made from a file's column."""
    if profile.epoch is not None:
        return f"to_timestamp({profile.alias} / {'1000.0' if profile.epoch == 'ms' else '1.0'})"
    if name == "close_date":
        return f"{profile.alias}::DATE"
    numbers = [float(value) for value, _ in profile.values if value.replace(".", "", 1).isdigit()]
    if name == "crm_probability" and profile.number == "plain" and max(numbers, default=0.0) > 1:
        return f"{profile.alias} / 100.0"
    return profile.alias


def names_in(sql: str) -> frozenset[str]:
    """The words of an expression, columns of the file among them; quoted texts left out."""
    return frozenset(re.findall(r"[A-Za-z_]\w*", re.sub(r"'[^']*'", "", sql)))


def _canonical_columns(found: Findings) -> dict[str, str]:
    key = CONTRACTS[found.table].key
    columns = {name: value_sql(name, match.profile) for name, match in found.matches.items()}
    if key not in columns:
        columns = {key: ROW_NUMBER} | columns
    if found.table in _NAMED_BY_KEY and columns[key] != ROW_NUMBER:
        columns.setdefault("name", columns[key])
    if found.table == "activities":
        columns.setdefault("kind", "'task'")
    if found.table in BIRTH:
        columns[BIRTH[found.table]] = _birth(found)[0]
        columns["status"] = _FIRST_STATE[found.table] if found.state is None else found.state.name
    if found.table == "opportunities" and "stage" not in columns:
        columns["stage"] = (
            _NOT_RECORDED if found.state is None else f"coalesce({found.state.profile.alias}::VARCHAR, {_NOT_RECORDED})"
        )
    return columns


def _named(profiles: Mapping[str, Profile], names: Sequence[str]) -> Profile | None:
    """The time column of the first of these names that the file has."""
    times = [profile for profile in profiles.values() if profile.is_time]
    return next((time for name in names for time in times if is_named(words(time.header), name)), None)


def _moment(found: Findings) -> tuple[str, str]:
    """When the rows of a table without states happened and were known, and how one knows."""
    created, modified = _named(found.profiles, _CREATED), _named(found.profiles, _MODIFIED)
    used = {match.profile.header for match in found.matches.values()}
    others = [p for p in found.profiles.values() if p.is_time and p.header not in used]
    # A versioned row says how a thing stands since it was last changed; an event happened once.
    first = (modified, created) if CONTRACTS[found.table].kind == "versioned" else (created, *others, modified)
    known = [profile for profile in (*first, *others) if profile is not None]
    chosen = next((profile for profile in known if profile.filled == 1.0), known[0] if known else None)
    if chosen is not None:
        return value_sql("", chosen), f"{chosen.header} is taken as the moment."
    note = (
        "THE FILE SAYS NO TIME: its values count as always known. Put the day of the export if they can have changed."
    )
    return "TIMESTAMPTZ '1970-01-01 00:00:00+00'", note


def _birth(found: Findings) -> tuple[str, tuple[str, ...]]:
    """When a lead or deal began, and what one should know about it."""
    match = found.matches.get(BIRTH[found.table])
    if match is not None and match.profile.header not in found.late:
        return value_sql("", match.profile), ()
    other = _named(found.profiles, _CREATED)
    if other is not None:
        return value_sql("", other), ()
    note = "THE FILE HAS NO DATE OF CREATION: these times are made up, a row a minute in the file's own order."
    return f"TIMESTAMPTZ '2000-01-01 00:00:00+00' + to_minutes({ROW_NUMBER})", (note,)


def _opening(found: Findings, columns: Mapping[str, str]) -> Entry:
    """The lead or deal as it began: what is entered with it, nothing that is written later."""
    late = {found.profiles[header].alias for header in found.late}
    early = _FROM_THE_START[found.table] | {CONTRACTS[found.table].key, BIRTH[found.table]}
    kept = {name: sql for name, sql in columns.items() if name in early and not late & names_in(sql)}
    kept["status"] = _FIRST_STATE[found.table]
    if found.table == "opportunities":
        kept["stage"] = _NOT_RECORDED
    born, notes = _birth(found)
    rule = "As it began. Only what is entered with the record belongs here, nothing that is filled in or changed later."
    return Entry(found.table, found.relation, kept, born, born, notes=(*notes, rule))


def _later_entries(found: Findings, columns: Mapping[str, str]) -> tuple[Entry, ...]:
    """Those still open as they stand in the export, and those decided."""
    states = set(found.state.words.values()) if found.state is not None else {"open"}
    closed = sorted(CLOSED & states)
    is_closed = f"{columns['status']} IN ({', '.join(map(literal, closed))})"
    export, told, view = _export(found)
    relation = found.relation if view is None else f"{found.relation}_at_export"
    entries = []
    if states - CLOSED:
        late = {found.profiles[header].alias for header in found.late}
        answers = {column.name for column in CONTRACTS[found.table].columns if column.known is Known.AT_OUTCOME}
        now = {name: sql for name, sql in columns.items() if name not in answers and not late & names_in(sql)}
        where = f"NOT coalesce({is_closed}, false)" if closed else None
        note = f"{'Still open, as' if closed else 'As'} it stands in the export. Known from: {told}."
        entries.append(Entry(found.table, relation, now, export, export, where=where, notes=(note,), view=view))
    if closed:
        decided = _named(found.profiles, _DECIDED[found.table])
        moment = export if decided is None else f"coalesce({value_sql('', decided)}, {export})"
        known_from = told if decided is None else f"{decided.header}, else {told}"
        note = f"Decided, with all that was known at the end. Known from: {known_from}."
        entries.append(
            Entry(
                found.table,
                relation,
                dict(columns),
                moment,
                moment,
                where=is_closed,
                at_closing=True,
                notes=(note,),
                view=view,
            )
        )
    return tuple(entries)


def _export(found: Findings) -> tuple[str, str, str | None]:
    """The moment from which the present state is surely known, how one knows, and a view if it takes all rows."""
    modified = _named(found.profiles, _MODIFIED)
    if modified is not None:
        return value_sql("", modified), modified.header, None
    view = f"SELECT *, max({_birth(found)[0]}) OVER () AS {_EXPORTED} FROM {quoted(found.relation)}"  # noqa: S608
    return _EXPORTED, "the newest creation in the file, before which it was not exported", view
