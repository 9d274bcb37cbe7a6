"""What the cells of one column are: type, formats of dates, money, missing words, keys, and what cannot be told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from itertools import pairwise

from warehouse.views import open_connection

MISSING_WORDS = frozenset(
    {"select", "n/a", "#n/a", "na", "-", "--", "null", "nan", "(none)", "(blank)", "(no value)", "not set", "?"}
)
"""Words, in lower case, that stand for a missing value in exports."""

_LOOKED_AT = 400
"""Different values of a column that the slow checks look at."""

_TYPED_SHARE = 0.97
"""Share of the cells that must fit a type; the rest is reported by `mapping check` as what cannot be read."""

_DAY_FIRST, _MONTH_FIRST = "day first", "month first"
_CLOCKS = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", " %I:%M:%S %p", " %I:%M %p")
_DATES: tuple[tuple[str, str | None], ...] = (
    ("%Y-%m-%d", None),
    ("%Y/%m/%d", None),
    ("%Y%m%d", None),
    ("%d.%m.%Y", None),
    ("%d %b %Y", None),
    ("%d-%b-%Y", None),
    ("%b %d, %Y", None),
    ("%B %d, %Y", None),
    ("%m/%d/%Y", _MONTH_FIRST),
    ("%d/%m/%Y", _DAY_FIRST),
    ("%m-%d-%Y", _MONTH_FIRST),
    ("%d-%m-%Y", _DAY_FIRST),
    ("%m/%d/%y", _MONTH_FIRST),
    ("%d/%m/%y", _DAY_FIRST),
)
_OFFSET = re.compile(r":\d\d(\.\d+)? ?(Z|[+-]\d\d(:?\d\d)?)$")
_ISO = re.compile(r"^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(Z|[+-]\d\d(:?\d\d)?))?)?$")
_MONEY = re.compile(
    r"^\(?[-+]?\s*(?P<mark>[$€£¥]|USD|EUR|GBP)?\s*[-+]?[\d.,' ]*\d[\d.,]*\s*(?P<after>[$€£]|USD|EUR|GBP)?\)?$"
)
_INT, _FLOAT = re.compile(r"^[-+]?\d+$"), re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
_THOUSANDS = re.compile(r"^[-+]?\d{1,3}(,\d{3})+(\.\d+)?$")
_DECIMAL_COMMA = re.compile(r"^[-+]?\d{1,3}(\.\d{3})*,\d{1,2}$|^[-+]?\d+,\d{1,2}$")
_TRUTHS = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"})
_TIME_WORDS = ("date", "time", "created", "modified", "closed", "on", "at", "day", "since", "start", "end")


@dataclass(frozen=True)
class Profile:
    """What a column is, as far as its sampled cells tell.

    Args:
        header: Its name in the file.
        alias: The name that the mapping gives it.
        type: Type after reading; `empty` if no cell is filled.
        formats: strptime formats of its times; none: ISO 8601, or typed in the file.
        number: How its numbers are written: `plain`, with a currency (`money`), or with % (`percent`).
        decimal: Decimal sign of its numbers.
        thousands: Sign between the thousands of its numbers, if any.
        epoch: `s` or `ms` if its whole numbers are times since 1970.
        missing: Words in it that mean missing.
        filled: Share of the cells that hold a value.
        is_unique: Whether all cells are filled and all differ.
        values: Values and their counts, the most frequent first.
        notes: What a reader should know, a sentence each.
    """

    header: str
    alias: str
    type: str
    formats: tuple[str, ...] = ()
    number: str = "plain"
    decimal: str = "."
    thousands: str = ""
    epoch: str | None = None
    missing: tuple[str, ...] = ()
    filled: float = 0.0
    is_unique: bool = False
    values: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_time(self) -> bool:
        """Whether it holds moments or days."""
        return self.type in {"timestamp", "date"} or self.epoch is not None

    @property
    def is_constant(self) -> bool:
        """Whether its filled cells all say the same."""
        return len(self.values) == 1


def profile_columns(columns: dict[str, list[str | None]], typed: dict[str, str]) -> dict[str, Profile]:
    """The profile of each column by header.

    Args:
        columns: Sampled cells by header.
        typed: Types of the columns that the file itself types.
    """
    aliases = _aliases(list(columns))
    profiles = {name: _profile(name, aliases[name], cells, typed.get(name)) for name, cells in columns.items()}
    return _same_day_order(profiles)


@cache
def _reserved_words() -> frozenset[str]:
    """Words that are no names in DuckDB's SQL, such as `order`."""
    with open_connection() as connection:
        found = connection.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
        ).fetchall()
    return frozenset(word for (word,) in found) | {"at"}


def _aliases(headers: Sequence[str]) -> dict[str, str]:
    """A name of small letters and underscores for each header, all different."""
    aliases: dict[str, str] = {}
    for header in headers:
        spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", header)
        name = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_") or "column"
        name = f"column_{name}" if name[0].isdigit() or name in _reserved_words() else name
        same = sum(re.fullmatch(re.escape(name) + r"(_\d+)?", other) is not None for other in aliases.values())
        aliases[header] = f"{name}_{same + 1}" if same else name
    return aliases


def _profile(header: str, alias: str, cells: list[str | None], typed: str | None) -> Profile:
    filled = [cell for cell in cells if cell is not None]
    missing = tuple(sorted({cell for cell in filled if cell.lower() in MISSING_WORDS}))
    counts = Counter(cell for cell in filled if cell not in missing)
    number = counts.total()
    base = Profile(
        header,
        alias,
        "empty" if not counts else "string",
        missing=missing,
        filled=number / len(cells) if cells else 0.0,
        is_unique=bool(cells) and number == len(cells) == len(counts),
        values=tuple(counts.most_common()),
    )
    if not counts:
        return replace(base, notes=("no cell of it is filled",))
    if typed is not None:
        return replace(base, type=typed)
    return _typed(base, counts)


def _typed(base: Profile, counts: Counter[str]) -> Profile:
    """`base` with the type its values have, the narrowest that fits nearly all of them."""
    words = {value.lower() for value in counts}
    if any(words <= truth for truth in _TRUTHS):
        return replace(base, type="bool")
    looked_at = [value for value, _ in counts.most_common(_LOOKED_AT)]
    as_time = _as_time(base, looked_at)
    return as_time if as_time is not None else _as_number(base, looked_at)


def _share(values: Sequence[str], pattern: re.Pattern[str]) -> float:
    return sum(pattern.match(value) is not None for value in values) / len(values)


def _as_time(base: Profile, values: list[str]) -> Profile | None:
    sounds_like_time = any(word in base.alias.split("_") for word in _TIME_WORDS)
    if _share(values, _INT) >= _TYPED_SHARE:
        return _as_number_of_time(base, values) if sounds_like_time else None
    if _share(values, _ISO) >= _TYPED_SHARE:
        return _as_iso(base, values)
    days, clock = _split_clock(values)
    found = _date_formats(days)
    if found is None:
        return None
    formats, notes = found
    if clock is None:
        return replace(base, type="date", formats=formats, notes=notes)
    written = tuple(day + part for day in formats for part in clock)
    return replace(base, type="timestamp", formats=written, notes=(*notes, "no offset in its times: see time_zone"))


def _as_iso(base: Profile, values: list[str]) -> Profile:
    offsets = sum(_OFFSET.search(value) is not None for value in values)
    if not any(":" in value for value in values):
        return replace(base, type="date")
    note = "no offset in its times: see time_zone"
    if offsets:
        share = "all" if offsets == len(values) else f"{offsets} of {len(values)}"
        note = f"{share} of its times carry their offset, such as {values[0]}"
    return replace(base, type="timestamp", notes=(note,))


def _as_number_of_time(base: Profile, values: list[str]) -> Profile | None:
    """Whole numbers that are days written as 20240131, or seconds or milliseconds since 1970."""
    if all(len(value) == 8 for value in values) and _fits(values, "%Y%m%d") >= _TYPED_SHARE:
        return replace(base, type="date", formats=("%Y%m%d",))
    size = {len(value) for value in values}
    epoch = "ms" if size <= {12, 13} else "s" if size <= {9, 10} else None
    if epoch is None:
        return None
    unit = "milliseconds" if epoch == "ms" else "seconds"
    return replace(base, type="int", epoch=epoch, notes=(f"{unit} since 1970, UTC",))


def _split_clock(values: list[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """The days of the values, and the formats of the clock after them that occur; None if there is none."""
    pattern = re.compile(r"^(?P<day>.*?\d{2,4})(?P<clock>[ T]\d{1,2}:\d\d(:\d\d)?( ?[AaPp][Mm])?)$")
    parts = [pattern.match(value) for value in values]
    if not any(parts):
        return values, None
    days = [part["day"] if part else value for part, value in zip(parts, values, strict=True)]
    clocks = [part["clock"] if part else "" for part in parts]
    used = tuple(form for form in _CLOCKS if any(_reads("01/01/2000" + clock, "%d/%m/%Y" + form) for clock in clocks))
    return days, used


def _date_formats(days: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The formats that read nearly all days, each adding some, and the notes about the order of day and month."""
    shares = {form: {day for day in days if _reads(day, form)} for form, _ in _DATES}
    unread, chosen = set(days), list[str]()
    for form, order in sorted(_DATES, key=lambda pair: -len(shares[pair[0]])):
        twin = _twin(form) if order else None
        if twin in chosen or not shares[form] & unread:
            continue
        chosen.append(form)
        unread -= shares[form]
    if not chosen or len(unread) > (1 - _TYPED_SHARE) * len(set(days)):
        return None
    notes = tuple(_order_note(form, days, shares) for form in chosen if dict(_DATES)[form])
    return tuple(chosen), notes


def _twin(form: str) -> str:
    """The same format with day and month exchanged."""
    return form.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")


def _order_note(form: str, days: list[str], shares: dict[str, set[str]]) -> str:
    proof = sorted(shares[form] - shares[_twin(form)])
    name = dict(_DATES)[form]
    if proof:
        other = len(shares[_twin(form)] - shares[form])
        against = f", but {other} values can only be read the other way" if other else ""
        return f"{name}: {len(proof)} different values such as {proof[0]} can be read only so{against}"
    return f"AMBIGUOUS: all {len(set(days))} values can be read day first and month first; {name} is a guess, check it"


def _fits(values: Sequence[str], form: str) -> float:
    return sum(_reads(value, form) for value in values) / len(values)


def _reads(value: str, form: str) -> bool:
    try:
        return 1970 <= datetime.strptime(value, form).year <= 2100
    except ValueError:
        return False


def _same_day_order(profiles: dict[str, Profile]) -> dict[str, Profile]:
    """Where a column's order of day and month cannot be told, take that of a column of the file where it can."""
    forms = [(p, form) for p in profiles.values() for form in p.formats if not any("AMBIGUOUS" in n for n in p.notes)]
    proven = {_order_of(form): p.header for p, form in forms if _order_of(form)}
    if len(proven) != 1:
        return profiles
    order, witness = next(iter(proven.items()))
    changed = dict(profiles)
    for name, profile in profiles.items():
        if any("AMBIGUOUS" in note for note in profile.notes):
            formats = tuple(f if _order_of(f) in {None, order} else _twin(f) for f in profile.formats)
            notes = (f"{order}, as in {witness}: its own values can be read both ways", *profile.notes[1:])
            changed[name] = replace(profile, formats=formats, notes=notes)
    return changed


def _order_of(form: str) -> str | None:
    return next((order for day, order in _DATES if form.startswith(day)), None)


def _as_number(base: Profile, values: list[str]) -> Profile:
    bare = [value.removesuffix("%").strip() for value in values]
    if sum(value.endswith("%") for value in values) >= _TYPED_SHARE * len(values):
        base = replace(base, number="percent")
    else:
        bare = values
    if _share(bare, _INT) >= _TYPED_SHARE:
        return _as_whole_number(base, bare)
    if _share(bare, _FLOAT) >= _TYPED_SHARE:
        return replace(base, type="float")
    if _share(bare, _DECIMAL_COMMA) >= _TYPED_SHARE:
        thousands = "." if any("." in value for value in bare) else ""
        return replace(base, type="float", decimal=",", thousands=thousands, notes=("decimal comma",))
    if _share(bare, _THOUSANDS) >= _TYPED_SHARE:
        return replace(base, type="float", thousands=",")
    return _as_money(base, bare) if _share(bare, _MONEY) >= _TYPED_SHARE else base


def _as_whole_number(base: Profile, values: list[str]) -> Profile:
    if any(len(value) > 1 and value.startswith("0") for value in values):
        return replace(base, notes=("whole numbers with leading zeros: kept as text",))
    rises = base.is_unique and all(int(first) < int(second) for first, second in pairwise(values))
    notes = ("whole numbers that rise from row to row: an order of entry",) if rises else ()
    return replace(base, type="int" if base.number == "plain" else "float", notes=notes)


def _as_money(base: Profile, values: list[str]) -> Profile:
    """Numbers with a currency beside them; without any currency, text that only looks like numbers stays text."""
    found = [match for value in values if (match := _MONEY.match(value))]
    marks = sorted({mark for match in found for mark in match.group("mark", "after") if mark})
    numbers = [re.sub(r"[^\d.,]", "", value) for value in values]
    if not marks and _share(numbers, _FLOAT) < _TYPED_SHARE:
        return base
    comma = _share(numbers, _DECIMAL_COMMA) >= _TYPED_SHARE and any("," in number for number in numbers)
    other = "." if comma else ","
    notes = [f"money in {', '.join(marks)}"] if marks else []
    if set(marks) - {"$", "USD"}:
        notes.append("put it into US dollars in the expression")
    return replace(
        base,
        type="float",
        number="money",
        decimal="," if comma else ".",
        thousands=other if any(other in number for number in numbers) else "",
        notes=tuple(notes),
    )
