"""Values and reasons as a salesperson would say them.

A feature's `phrase` is written once, for any value: "{value} views of pricing pages in 30 days". Here it meets one: "no
views of pricing pages in 30 days", "1 view of pricing pages in 30 days".
"""

from __future__ import annotations

import math
import re

from training.manifest import FeatureEntry

_THOUSAND = 1000.0
_LONG_ABOUT = 60
# How a figure is computed; what it is about says more.
_COMPUTED = re.compile(r"(Days|Share|Number|How|Mean|Most|Minutes|Amount|Events|The same)\b")
_OWN_UNIT = "as in the source"
_RARE = "rare or new"
_SHARES = ("share", "probability", "rate")
_DAYS_A_YEAR = 365.25
_YEARS_FROM_DAYS = 730.0
_HOURS_BELOW_DAYS = 1.0
_MAX_CODE_LETTERS = 4
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_ODD_PLURALS = {"people": "person", "days": "day"}
_NONE_MEANS_NEVER = ("null where there was none", "null where that never was", "null without any")
_RANK_PHRASE = "holds a position of rank {value}"
# What a phrase becomes where its value is negative; the value is then written without its sign.
_NEGATIVE = (
    ("{value} more ", "{value} fewer "),
    ("is expected to close in {value} days", "was expected to close {value} days ago"),
    ("the next step is due in {value} days", "the next step was due {value} days ago"),
    ("for {value} days more than is usual", "for {value} days less than is usual"),
    ("the close date moved by {value} days in all", "the close date moved forward by {value} days in all"),
    ("is offered {value} below the list price", "is offered {value} above the list price"),
)


def percent(share: float) -> str:
    """A share in percent: one decimal below 10.

    Example:
        >>> percent(0.262), percent(0.0912), percent(0.0)
        ('26 %', '9.1 %', '0 %')
    """
    return f"{100 * share:.0f} %" if abs(share) >= 0.0995 or share == 0.0 else f"{100 * share:.1f} %"


def write_value(entry: FeatureEntry, code: float) -> str | None:
    """A value of the matrix as a reader would write it; None where missing.

    Args:
        entry: The feature.
        code: Its value in the matrix.
    """
    if math.isnan(code):
        return None
    if entry.dtype == "category":
        named = _named(entry, code)
        return _RARE if named is None else _category(entry, named)
    if entry.dtype == "bool":
        return "yes" if code else "no"
    if entry.unit in _SHARES:
        return percent(code)
    if entry.unit.startswith("day, Monday"):
        return _WEEKDAYS[int(code) % 7]
    if entry.unit.startswith("month, 1"):
        return _MONTHS[(int(code) - 1) % 12]
    if entry.unit == "days" and entry.dtype == "float":
        return _duration(code)
    if entry.unit == _OWN_UNIT and abs(code) < _THOUSAND:
        return f"{code:.4g}"
    return _number(code)


def _named(entry: FeatureEntry, code: float) -> str | None:
    """Name of a category; None for all that were rare or unseen in training."""
    index = int(code)
    return entry.categories[index] if 0 <= index < len(entry.categories) else None


def _category(entry: FeatureEntry, name: str) -> str:
    """Codes of countries and regions in capitals, words without underscores."""
    is_place = entry.name.endswith(("country", "region"))
    # Where the source writes both "br" and "BR", and they differ, a reader must see which.
    is_other = name != name.upper() and name.upper() in entry.categories
    if is_place and name.isalpha() and len(name) <= _MAX_CODE_LETTERS and not is_other:
        return name.upper()
    return name.replace("_", " ")


def _number(value: float) -> str:
    if abs(value) >= _THOUSAND:
        return f"{value:,.0f}"
    if value == round(value):
        return f"{value:.0f}"
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"


def _duration(days: float) -> str:
    """Days with their unit, as a person would say them.

    Example:
        >>> _duration(0.2), _duration(1.0), _duration(12.4), _duration(2628.0)
        ('5 hours', '1 day', '12 days', '7.2 years')
    """
    size = abs(days)
    if size >= _YEARS_FROM_DAYS:
        return f"{days / _DAYS_A_YEAR:.1f} years"
    if size < _HOURS_BELOW_DAYS:
        hours = round(24 * days)
        return "less than an hour" if hours == 0 else f"{hours} hour{'' if abs(hours) == 1 else 's'}"
    whole = round(days) if size >= 10 or abs(size - round(size)) < 0.05 else round(days, 1)
    return f"{whole} day{'' if abs(whole) == 1 else 's'}"


def means_never(entry: FeatureEntry) -> bool:
    """Whether a missing value says that something never happened, rather than that nobody knows."""
    return any(words in entry.about for words in _NONE_MEANS_NEVER)


def phrase_of(entry: FeatureEntry, code: float) -> str:
    """The feature's phrase with a value in it.

    Args:
        entry: The feature.
        code: Its value in the matrix; NaN for missing.
    """
    words = entry.name.removeprefix("custom_").replace("_", " ")
    if entry.unit == _OWN_UNIT:
        return f"{words}: {write_value(entry, code) or 'not known'}"
    if math.isnan(code):
        return _missing(entry)
    if entry.dtype == "category" and _named(entry, code) is None:
        return f"{words}: {_RARE}"
    phrase = entry.phrase
    if code < 0 and entry.dtype != "category":
        for said, instead in _NEGATIVE:
            if said in phrase:
                phrase, code = phrase.replace(said, instead), -code
                break
    value = write_value(entry, code) or ""
    if phrase == _RANK_PHRASE:
        return "holds no leading position" if value == "other" else f"is {_article(value)} {value}"
    if entry.dtype == "bool":
        return _yes_or_no(phrase, value)
    if entry.unit.startswith("day, Monday"):
        return phrase.replace("weekday {value} (Monday is 0)", f"a {value}").replace("{value}", value)
    if entry.unit.startswith("month, 1"):
        return phrase.replace("month {value}", value).replace("{value}", value)
    if entry.unit == "days" and entry.dtype == "float":
        return phrase.replace("{value} days", value).replace("{value}", value)
    if entry.dtype == "int":
        phrase = _counted(phrase, code)
    return phrase.replace("{value}", value)


def _article(noun: str) -> str:
    return "an" if noun[:1].lower() in "aeiou" else "a"


def _counted(phrase: str, count: float) -> str:
    """The noun behind a count of 0 or 1: "no views", "1 view", "once"."""
    if count == 1:
        phrase = phrase.replace("{value} times", "once")
        return re.sub(r"\{value\} (\w[\w-]*)", lambda found: "{value} " + _singular(found[1]), phrase, count=1)
    if count == 0 and not phrase.startswith("{value} of"):
        return re.sub(r"^\{value\} (?!minutes|US|more)", "no ", phrase)
    return phrase


def _singular(noun: str) -> str:
    if noun in _ODD_PLURALS:
        return _ODD_PLURALS[noun]
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else noun


def _yes_or_no(phrase: str, value: str) -> str:
    """A sentence of its own for "is a customer already: no"."""
    sentence = phrase.removesuffix(": {value}")
    if sentence == phrase:
        return phrase.replace("{value}", value)
    if value == "yes":
        return sentence
    return re.sub(r"\b(is|was|came)\b", lambda found: _NEGATED[found[1]], sentence, count=1)


_NEGATED = {"is": "is not", "was": "was not", "came": "did not come"}


def _missing(entry: FeatureEntry) -> str:
    if means_never(entry):
        last = re.fullmatch(r"the last (.+) was \{value\} days ago", entry.phrase)
        if last:
            return f"no {last[1]} so far"
        ever = re.fullmatch(r"was (last|first) active \{value\} days ago", entry.phrase)
        if ever:
            return "was never active"
    about = re.split(r"[;:.,]| as known ", entry.about, maxsplit=1)[0].strip()
    if entry.theme and (len(about) > _LONG_ABOUT or _COMPUTED.match(about)):
        about = entry.theme
    return f"{about}: {'none so far' if means_never(entry) else 'not known'}"
