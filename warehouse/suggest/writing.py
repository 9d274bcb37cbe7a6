"""A suggested mapping as YAML: what is read from the file, and beside it in comments why, and what else it may be."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence

from warehouse.contracts import CONTRACTS
from warehouse.suggest.columns import Profile
from warehouse.suggest.entries import ROW_NUMBER, Entry, State, names_in
from warehouse.suggest.names import likenesses
from warehouse.suggest.outcomes import allowed_words
from warehouse.suggest.tables import Draft

_WIDTH = 118
_SHOWN_VALUES = 4
_WORTH_NAMING = 0.45
_SHIPPED: dict[str, tuple[tuple[str, ...], ...]] = {
    "salesforce-export": (("OwnerId", "IsDeleted", "LastModifiedDate"),),
    "hubspot-export": (("Record ID", "Create Date", "Last Modified Date"),),
    "dynamics-export": (("(Do Not Modify) Row Checksum",), ("statecode", "modifiedon")),
}
"""Headers by which the exports of a CRM with a ready mapping are known."""

_PLAIN_START = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")


def write_yaml(name: str, drafts: Sequence[Draft]) -> str:
    """The text of a mapping file.

    Args:
        name: Name of the source.
        drafts: One per file; those without a table are only told of.
    """
    used = [draft for draft in drafts if draft.entries]
    lines = [
        *_heading(name, drafts),
        "files:",
        *(line for draft in used for line in _file(draft)),
        "",
        *_views(used),
        "tables:",
        *(line for draft in used for entry in draft.entries for line in _entry(draft, entry)),
        "",
        *_models(used),
    ]
    return "\n".join(lines) + "\n"


def _comment(text: str, indent: int = 0) -> list[str]:
    mark = " " * indent + "# "
    return [mark + line for line in textwrap.wrap(text, _WIDTH - len(mark), break_on_hyphens=False)]


def _value(text: str) -> str:
    """A text as a YAML scalar in double quotes, which JSON's are."""
    return json.dumps(text, ensure_ascii=False)


def _name(text: str) -> str:
    is_plain = text[0] in _PLAIN_START and text.replace("_", "").isalnum()
    return (
        text
        if is_plain and text.lower() not in {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
        else _value(text)
    )


def _heading(name: str, drafts: Sequence[Draft]) -> Iterator[str]:
    yield from _comment(
        "A suggestion made from a sample of the rows. Read the comments, correct what is wrong, then look at the rows "
        f"as they would land: salience mapping check {name}.yaml --data FOLDER"
    )
    headers = {header for draft in drafts for header in draft.profiles}
    for source, marks in _SHIPPED.items():
        if any(all(any(mark in header for header in headers) for mark in each) for each in marks):
            yield from _comment(f"THIS LOOKS LIKE {source}: try that source first, its mapping knows the history too.")
    for draft in drafts:
        if not draft.entries:
            shown = ", ".join(list(draft.profiles)[:8])
            why = "tells changes, which takes a view" if draft.is_history else "is like no canonical table"
            yield from _comment(f"{draft.sample.path.name} ({shown}) {why}; it is left out.")
    yield f"name: {_value(name)}"
    files = ", ".join(draft.sample.path.name for draft in drafts if draft.entries)
    yield f"about: {_value(f'What {files} holds. Say here where it comes from.')}"
    if any(_has_local_times(draft) for draft in drafts):
        yield from _comment("Its times carry no offset. UTC is a guess: put the zone of the CRM's users or portal.")
    yield "time_zone: UTC"
    yield ""


def _has_local_times(draft: Draft) -> bool:
    in_workbook = draft.sample.format == "excel" and "timestamp" in draft.sample.typed.values()
    return in_workbook or any("no offset" in note for p in draft.profiles.values() for note in p.notes)


def _file(draft: Draft) -> Iterator[str]:
    sample = draft.sample
    rows = f"all {sample.row_count} rows" if sample.whole else f"{sample.row_count} rows, the first and others spread"
    yield from _comment(f"Looked at {rows}.", 2)
    if sample.other_sheets:
        yield from _comment(f"The workbook has further sheets: {', '.join(sample.other_sheets)}.", 2)
    yield f"  {_name(draft.relation)}:"
    yield f"    path: {_value(sample.path.name)}"
    yield f"    format: {sample.format}"
    if sample.format == "csv":
        yield f"    encoding: {sample.encoding}"
        yield f"    separator: {_value(sample.separator)}"
    if sample.sheet is not None:
        yield f"    sheet: {_value(sample.sheet)}"
    if sample.skipped_lines:
        yield f"    header_row: {sample.skipped_lines + 1}"
    if draft.is_numbered:
        yield f"    numbered: {ROW_NUMBER}"
    yield "    columns:"
    read = [profile for profile in draft.profiles.values() if profile.alias in draft.names_read]
    for profile in read:
        yield from _column(draft, profile)
    if draft.state is not None:
        yield from _state(draft.state)
    state = draft.state.profile.header if draft.state is not None else None
    rest = [profile for profile in draft.profiles.values() if profile not in read and profile.header != state]
    yield from _unused(draft, rest)


def _column(draft: Draft, profile: Profile) -> Iterator[str]:
    for note in profile.notes:
        yield from _comment(note[0].upper() + note[1:] + ".", 6)
    if profile.header in draft.telling:
        auc = draft.telling[profile.header]
        yield from _comment(
            f"ITS WORDS ALONE NEARLY TELL THE OUTCOME (AUC {auc}): is it written while the sale goes on?", 6
        )
    parts = [f"type: {_file_type(draft, profile)}"]
    if profile.header != profile.alias:
        parts.append(f"header: {_value(profile.header)}")
    if profile.formats:
        parts.append(f"formats: [{', '.join(map(_value, profile.formats))}]")
    if profile.number != "plain":
        parts.append(f"number: {profile.number}")
    if profile.decimal != ".":
        parts.append(f"decimal: {_value(profile.decimal)}")
    if profile.thousands:
        parts.append(f"thousands: {_value(profile.thousands)}")
    meanings, meaningless = _meanings(draft, profile)
    if profile.missing or meaningless:
        parts.append(f"missing: [{', '.join(map(_value, (*profile.missing, *meaningless)))}]")
    if meanings:
        parts.append(f"values: {{{', '.join(f'{_value(word)}: {meaning}' for word, meaning in meanings.items())}}}")
    if profile.header in draft.late:
        parts.append(f"known: at_outcome, why: {_value(draft.late[profile.header])}")
    yield f"      {profile.alias}: {{{', '.join(parts)}}}"


def _meanings(draft: Draft, profile: Profile) -> tuple[dict[str, str], tuple[str, ...]]:
    """For a column that becomes one with a fixed list of words: the word for each value, and values without one."""
    for column in CONTRACTS[draft.table or ""].columns:
        match = draft.matches.get(column.name)
        if match is not None and match.profile is profile and column.allowed and column.name != "status":
            meanings, others = allowed_words(profile, column.allowed)
            if not column.required:
                return meanings, others
            return meanings | dict.fromkeys(others, column.allowed[-1]), ()
    return {}, ()


def _state(state: State) -> Iterator[str]:
    """The column of states once more, its words replaced by canonical ones."""
    yield from _comment(f"What the words of {state.profile.header} mean; a word that is not here is refused.", 6)
    words = ", ".join(f"{_value(word)}: {canonical}" for word, canonical in state.words.items())
    missing = f", missing: [{', '.join(map(_value, state.profile.missing))}]" if state.profile.missing else ""
    yield f"      {state.name}: {{type: string, header: {_value(state.profile.header)}{missing}, values: {{{words}}}}}"


def _file_type(draft: Draft, profile: Profile) -> str:
    """The type a column is read in: that of the canonical column it becomes, where they differ only in writing."""
    if profile.alias in draft.moment_names and profile.epoch is None:
        return "timestamp" if profile.is_time else profile.type
    kinds = {
        column.dtype
        for column in CONTRACTS[draft.table or ""].columns
        if column.name in draft.matches and draft.matches[column.name].profile is profile
    }
    # Identifiers are text even where they are written in digits.
    return "string" if kinds == {"string"} and profile.type in {"int", "float"} else profile.type


def _unused(draft: Draft, profiles: Sequence[Profile]) -> Iterator[str]:
    if not profiles:
        return
    yield from _comment("Left out; to keep one, move it to `columns` and name it in the table's `extension`.", 4)
    yield "    unused:"
    for profile in profiles:
        yield f"      {_value(profile.header)}: {_value(_why_unused(draft, profile))}"


def _why_unused(draft: Draft, profile: Profile) -> str:
    if profile.type == "empty":
        return "no cell of it is filled"
    shown = ", ".join(value for value, _ in profile.values[:_SHOWN_VALUES])
    if profile.is_constant:
        return f"says the same wherever it is filled: {shown}"
    reasons = [f"like no column of {draft.table}; {profile.type}, such as {shown}"]
    if profile.header in draft.late:
        reasons.append(f"known only at the outcome: {draft.late[profile.header]}")
    if profile.header in draft.telling:
        reasons.append(f"its words alone nearly tell the outcome (AUC {draft.telling[profile.header]})")
    return "; ".join(reasons)


def _views(drafts: Sequence[Draft]) -> Iterator[str]:
    views = {name: query for draft in drafts for name, query in draft.views.items()}
    if views:
        yield "views:"
        yield from (f"  {_name(name)}: {_value(query)}" for name, query in views.items())
        yield ""


def _entry(draft: Draft, entry: Entry) -> Iterator[str]:
    for note in entry.notes:
        yield from _comment(note, 2)
    yield f"  - table: {entry.table}"
    yield f"    from: {_name(entry.relation)}"
    if entry.where is not None:
        yield f"    where: {_value(entry.where)}"
    if entry.at_closing:
        yield "    at_closing: true"
    yield f"    event_timestamp: {_value(entry.event_timestamp)}"
    yield f"    created_timestamp: {_value(entry.created_timestamp)}"
    yield "    columns:"
    for name, expression in entry.columns.items():
        yield f"      {name}: {_value(expression)}{_confidence(draft, name, expression)}"
    absent = [column.name for column in CONTRACTS[entry.table].columns if column.name not in entry.columns]
    if entry is draft.entries[-1] and absent:
        yield from _comment(f"Not found in the file: {', '.join(_absent(draft, absent))}.", 6)


def _confidence(draft: Draft, name: str, expression: str) -> str:
    match = draft.matches.get(name)
    if match is None or not any(word.startswith(match.profile.alias) for word in names_in(expression)):
        return ""
    others = ", ".join(f"{header} {score:.2f}" for header, score in match.alternatives)
    return f"  # sure to {match.confidence:.2f}" + (f"; else {others}" if others else "")


def _absent(draft: Draft, names: Sequence[str]) -> Iterator[str]:
    """Canonical columns without a partner, each with the file's column that is least unlike it."""
    likely = likenesses(draft.table or "", draft.profiles)
    for name in names:
        nearest = [pair for pair in likely.get(name, [])[:1] if pair[1] >= _WORTH_NAMING]
        yield name + "".join(f" ({header} {score:.2f}?)" for header, score in nearest)


def _models(drafts: Sequence[Draft]) -> Iterator[str]:
    tables = {draft.table: draft for draft in drafts}
    yield from _comment("Protocols of the models that this source feeds; horizons are in days.")
    if not {"leads", "opportunities"} & tables.keys():
        yield "models: {}"
        return
    yield "models:"
    if "leads" in tables:
        yield "  lead: {horizon_days: 90, spine: creation, test_share: 0.25}"
    if "opportunities" in tables:
        yield from _comment("Put the open stages in the order in which a deal passes them.", 2)
        stages = ", ".join(map(_value, tables["opportunities"].stages))
        yield f"  deal: {{horizon_days: 180, spine: weekly, test_share: 0.25, stages: [{stages}]}}"
        yield "  forecast: {kind: pipeline, horizon: 6, season_length: 12, frequency: MS, test_periods: 6}"
