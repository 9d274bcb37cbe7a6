"""Which canonical table a user's file may become, and which of its columns are which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from warehouse.contracts import CONTRACTS
from warehouse.suggest.columns import Profile, profile_columns
from warehouse.suggest.entries import BIRTH, ROW_NUMBER, Entry, Findings, State, build_entries, names_in
from warehouse.suggest.names import LEAST_CONFIDENCE, SYNONYMS, Match, likenesses, words
from warehouse.suggest.outcomes import CLOSED, late_columns, state_words, telling_columns
from warehouse.suggest.reading import Sample

_FILE_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("reps", ("user", "rep", "agent", "team", "employee", "owner")),
    ("leads", ("lead", "prospect", "mql")),
    ("opportunities", ("opportunit", "deal", "pipeline")),
    ("accounts", ("account", "compan", "customer")),
    ("contacts", ("contact", "people", "person")),
    ("products", ("product",)),
    ("campaigns", ("campaign",)),
    ("quotas", ("quota", "target")),
    ("territories", ("territor",)),
    ("activities", ("activit", "task", "call", "meeting", "engagement", "email")),
    ("transactions", ("order", "transaction", "invoice", "booking", "payment")),
)
_HINT = 3.0
_LEAST_SCORE = 3.4
_STATE = {"leads": ("status",), "opportunities": ("status", "stage")}


@dataclass(frozen=True)
class Draft:
    """What is suggested for one file.

    Args:
        relation: The file's name in the mapping.
        sample: What was looked at.
        profiles: Its columns.
        table: Canonical table; None if it is like none.
        matches: Canonical columns found in it.
        entries: Table entries.
        late: Columns known only at the outcome, with the evidence.
        telling: Columns that nearly tell the outcome, with their AUC.
        stages: Open stages of deals, the most frequent first.
        state: The column that says the state of a lead or deal.
    """

    relation: str
    sample: Sample
    profiles: dict[str, Profile]
    table: str | None = None
    matches: dict[str, Match] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    late: dict[str, str] = field(default_factory=dict)
    telling: dict[str, float] = field(default_factory=dict)
    stages: tuple[str, ...] = ()
    state: State | None = None

    @property
    def names_read(self) -> frozenset[str]:
        """Names of the columns, as the mapping gives them, that an entry reads."""
        return frozenset().union(*(names_in(sql) for entry in self.entries for sql in _expressions(entry)))

    @property
    def moment_names(self) -> frozenset[str]:
        """Names of those among them that must be read as moments, not as days."""
        moments = {BIRTH.get(self.table or "", ""), "event_timestamp"}
        return frozenset().union(
            *(names_in(sql) for entry in self.entries for sql in (entry.event_timestamp, entry.created_timestamp)),
            *(names_in(entry.columns.get(name, "")) for entry in self.entries for name in moments),
        )

    @property
    def is_history(self) -> bool:
        """Whether the file tells changes of records, not records: that takes a view, which only a person can write."""
        told = {words(header).replace(" ", "") for header in self.profiles}
        return {"oldvalue", "newvalue"} <= told or "history" in self.sample.path.name.lower()

    @property
    def views(self) -> dict[str, str]:
        """Views that the entries need, by name."""
        return {entry.relation: entry.view for entry in self.entries if entry.view is not None}

    @property
    def is_numbered(self) -> bool:
        """Whether an entry needs the rows numbered."""
        return ROW_NUMBER in self.names_read


def _expressions(entry: Entry) -> tuple[str, ...]:
    return (
        *entry.columns.values(),
        entry.event_timestamp,
        entry.created_timestamp,
        entry.where or "",
        entry.view or "",
    )


def draft_file(sample: Sample, relation: str, *, table: str | None = None) -> Draft:
    """What a mapping could make of a file.

    Args:
        sample: Some of its rows.
        relation: Name of the file in the mapping.
        table: Canonical table, if it is known; unset: the one it is most like.
    """
    profiles = profile_columns(sample.columns, sample.typed)
    found = {name: match_columns(name, profiles) for name in ([table] if table else SYNONYMS)}
    scores = {name: _score(name, matches, sample.path.name) for name, matches in found.items()}
    draft = Draft(relation, sample, profiles)
    if table is None and draft.is_history:
        return draft
    for name in sorted(scores, key=lambda name: -scores[name]):
        if table is None and scores[name] < _LEAST_SCORE:
            break
        tried = _with_entries(replace(draft, table=name, matches=_with_key(name, found[name], profiles)))
        if tried.entries:
            return tried
    return draft


def match_columns(table: str, profiles: Mapping[str, Profile]) -> dict[str, Match]:
    """The file's columns taken for a table's canonical ones: the surest pairs first, each column once."""
    likely = likenesses(table, profiles)
    key = CONTRACTS[table].key
    pairs = sorted(
        ((score, name, header) for name, found in likely.items() for header, score in found),
        key=lambda pair: (-pair[0], pair[1] != key, pair[1], pair[2]),
    )
    matches: dict[str, Match] = {}
    taken: set[str] = set()
    for score, name, header in pairs:
        if score < LEAST_CONFIDENCE or name in matches or header in taken:
            continue
        others = tuple(other for other in likely[name] if other[0] != header)[:2]
        matches[name] = Match(profiles[header], score, others)
        taken.add(header)
    return {column.name: matches[column.name] for column in CONTRACTS[table].columns if column.name in matches}


def _score(table: str, matches: Mapping[str, Match], file_name: str) -> float:
    required = {column.name for column in CONTRACTS[table].columns if column.required}
    total = sum(match.confidence * (2 if name in required else 1) for name, match in matches.items())
    hinted = next((name for name, parts in _FILE_WORDS if any(part in words(file_name) for part in parts)), None)
    return total + _HINT * (hinted == table)


def _with_key(table: str, matches: dict[str, Match], profiles: Mapping[str, Profile]) -> dict[str, Match]:
    """The matches with a key: a column like it that names each row, else any that does. None: the row's number does."""
    key = CONTRACTS[table].key
    if key in matches:
        return matches
    likely = [pair for pair in likenesses(table, profiles)[key] if pair[1] >= LEAST_CONFIDENCE]
    taken = {match.profile.header for match in matches.values()}
    unique = [(p.header, 0.5) for p in profiles.values() if p.type in {"string", "int"} and p.header not in taken]
    chosen = [pair for pair in (*likely, *unique) if profiles[pair[0]].is_unique]
    return {key: Match(profiles[chosen[0][0]], chosen[0][1], ())} | matches if chosen else matches


def _with_entries(draft: Draft) -> Draft:
    table, columns = draft.table or "", draft.sample.columns
    found = Findings(table, draft.relation, draft.profiles, draft.matches)
    profile = next((draft.matches[name].profile for name in _STATE.get(table, ()) if name in draft.matches), None)
    if profile is None:
        return replace(draft, entries=build_entries(found), stages=("(not recorded)",))
    state = State(profile, state_words(table, profile), f"{profile.alias}_as_status")
    rows = [state.words.get(cell or "") for cell in columns[profile.header]]
    late = late_columns(columns, draft.profiles, rows)
    late.pop(profile.header, None)
    telling = telling_columns(columns, draft.profiles, rows, leave_out=profile.header)
    entries = build_entries(replace(found, late=late, state=state))
    draft = replace(draft, entries=entries, late=late, telling=telling, state=state)
    return replace(draft, stages=_open_stages(draft, state))


def _open_stages(draft: Draft, state: State) -> tuple[str, ...]:
    stage = draft.matches["stage"].profile if "stage" in draft.matches else state.profile
    open_ones = [value for value, _ in stage.values if state_words("opportunities", stage)[value] not in CLOSED]
    return ("(not recorded)", *open_ones)
