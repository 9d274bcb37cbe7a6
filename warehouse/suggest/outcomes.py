"""What a column of states says about each row, and which other columns are filled only once a row is decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from warehouse.suggest.columns import Profile

CLOSED = frozenset({"won", "lost", "converted", "disqualified"})
"""Canonical states after which nothing more is to come."""

_LEAD_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "disqualified",
        ("disqual", "unqual", "not converted", "dead", "lost", "junk", "reject", "bad timing", "not inter"),
    ),
    ("converted", ("convert", "customer", "won", "opportunity", "became")),
    ("qualified", ("qualif", "mql", "sql", "accepted")),
    ("new", ("new", "not contacted", "subscriber", "raw", "unread", "not started")),
    ("working", ("work", "contact", "progress", "attempt", "connect", "nurtur", "engag", "follow", "meeting", "demo")),
)
_DEAL_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "lost",
        ("lost", "cancel", "declin", "disqual", "dead", "abandon", "reject", "no decision", "out-sold", "outsold"),
    ),
    ("won", ("won", "activated", "sold", "success", "signed")),
)
_LEAST_ROWS = 10
_MOSTLY, _HARDLY = 0.5, 0.02
_TELLING_AUC = 0.85
_LEAST_REPEATS = 5


def state_words(table: str, profile: Profile) -> dict[str, str]:
    """The canonical state of each value of a column of states, by the words in it.

    Args:
        table: `leads` or `opportunities`.
        profile: The column.
    """
    values = [value for value, _ in profile.values]
    good, bad, start = ("converted", "new", "new") if table == "leads" else ("won", "lost", "open")
    if profile.type == "bool" or set(values) <= {"0", "1"}:
        return {value: good if value.lower() in {"1", "true", "t", "yes", "y"} else bad for value in values}
    rules = _LEAD_WORDS if table == "leads" else _DEAL_WORDS
    return {value: _state_of(value.lower(), rules, start) for value in values}


def _state_of(value: str, rules: Sequence[tuple[str, tuple[str, ...]]], otherwise: str) -> str:
    return next((state for state, words in rules if any(word in value for word in words)), otherwise)


_KIND_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("call", ("call", "phone")),
    ("email", ("mail",)),
    ("meeting", ("meeting", "appointment", "event", "visit")),
    ("inbound", ("inbound", "incoming")),
    ("outbound", ("outbound", "outgoing")),
)


def allowed_words(profile: Profile, allowed: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What the values of a column are called in a canonical list of words, and the values that are in none.

    Args:
        profile: The column.
        allowed: The canonical words.
    """
    found: dict[str, str] = {}
    for value, _ in profile.values:
        plain = value.lower().replace(" ", "_")
        like = [word for word in allowed if word in plain or word.replace("_", "") in plain]
        like += [word for word, parts in _KIND_WORDS if word in allowed and any(part in plain for part in parts)]
        if like:
            found[value] = like[0]
    return found, tuple(value for value, _ in profile.values if value not in found)


def late_columns(
    columns: Mapping[str, list[str | None]], profiles: Mapping[str, Profile], states: Sequence[str | None]
) -> dict[str, str]:
    """Columns that are filled only in decided rows, with the evidence: their values are known only then.

    Args:
        columns: Sampled cells by header.
        profiles: Their profiles.
        states: Canonical state of each sampled row.
    """
    groups = {
        "decided": [state in CLOSED for state in states],
        "won or converted": [state in {"won", "converted"} for state in states],
        "lost or disqualified": [state in {"lost", "disqualified"} for state in states],
    }
    found = {}
    for header, cells in columns.items():
        profile = profiles[header]
        filled = [cell is not None and cell not in profile.missing for cell in cells]
        why = next((why for name, group in groups.items() if (why := _only_in(name, group, filled))), None)
        why = why or (_zero_when_lost(cells, groups) if profile.type in {"int", "float"} else None)
        if why is not None:
            found[header] = why
    return found


def _only_in(name: str, group: Sequence[bool], filled: Sequence[bool]) -> str | None:
    inside = [cell for cell, member in zip(filled, group, strict=True) if member]
    outside = [cell for cell, member in zip(filled, group, strict=True) if not member]
    if min(len(inside), len(outside)) < _LEAST_ROWS:
        return None
    share_in, share_out = sum(inside) / len(inside), sum(outside) / len(outside)
    if share_in < _MOSTLY or share_out > _HARDLY:
        return None
    return f"filled in {share_in:.0%} of the {name} rows and in {share_out:.0%} of the others"


def _zero_when_lost(cells: Sequence[str | None], groups: Mapping[str, Sequence[bool]]) -> str | None:
    def values(name: str) -> list[str]:
        return [cell for cell, member in zip(cells, groups[name], strict=True) if member and cell is not None]

    won, lost = values("won or converted"), values("lost or disqualified")
    if min(len(won), len(lost)) < _LEAST_ROWS or any(_is_zero(cell) for cell in won):
        return None
    return "0 in every lost row and never in a won one" if all(_is_zero(cell) for cell in lost) else None


def _is_zero(cell: str) -> bool:
    return cell.strip("0.") == ""


def telling_columns(
    columns: Mapping[str, list[str | None]],
    profiles: Mapping[str, Profile],
    states: Sequence[str | None],
    *,
    leave_out: str,
) -> dict[str, float]:
    """Columns of few words that alone tell winners from the rest nearly as well as the outcome itself: AUC by header.

    The AUC is that of each word's own rate of winning in the sampled rows; words seen less than five times count as one
    word.

    Args:
        columns: Sampled cells by header.
        profiles: Their profiles.
        states: Canonical state of each sampled row.
        leave_out: The column of states itself.
    """
    wins = [state in {"won", "converted"} for state in states]
    if min(sum(wins), len(wins) - sum(wins)) < _LEAST_ROWS:
        return {}
    found = {}
    for header, cells in columns.items():
        profile = profiles[header]
        if header == leave_out or profile.type != "string" or not 1 < len(profile.values) <= 60:
            continue
        auc = _auc(cells, wins)
        if auc >= _TELLING_AUC:
            found[header] = round(auc, 2)
    return found


def _auc(cells: Sequence[str | None], wins: Sequence[bool]) -> float:
    """Area under the ROC curve of the words' own rates of winning, ties counting half."""
    seen = Counter(cells)
    words = [cell if seen[cell] >= _LEAST_REPEATS else None for cell in cells]
    good = Counter(word for word, win in zip(words, wins, strict=True) if win)
    bad = Counter(word for word, win in zip(words, wins, strict=True) if not win)
    order = sorted(set(words), key=lambda word: (good[word] / (good[word] + bad[word]), str(word)))
    below, area = 0, 0.0
    for word in order:
        area += good[word] * (below + bad[word] / 2)
        below += bad[word]
    return area / (good.total() * bad.total())
