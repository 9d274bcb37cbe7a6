"""Conditions of a scorecard's rules: as a person writes them, and as they meet a column of the matrix."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
# A number, a category, true or false; or several of them.
Plain: TypeAlias = bool | int | float | str
Written: TypeAlias = Plain | Sequence[Plain]

OPERATORS = (">=", "<=", "!=", ">", "<", "=")
_RANGE = re.compile(r"^\s*(-?[\d.eE+-]+)\s*\.\.\s*(-?[\d.eE+-]+)\s*$")
_NUMBER = "a comparison such as '>= 3', a range such as '50 .. 999', or a number"
_CATEGORY = "a value, a list of values, or '!= value'"


@dataclass(frozen=True)
class Condition:
    """What a rule asks of one value.

    Args:
        operator: One of `OPERATORS`, or `between` (both ends count), or `in`.
        values: What it is compared with: one number or category; for `between` two, for `in` any number of them.
    """

    operator: str
    values: tuple[float | str, ...]

    def holds(self, column: Vector, codes: Mapping[str, float] | None = None) -> NDArray[np.bool_]:
        """Where it holds. A missing value (NaN) meets no condition.

        Args:
            column: A column of the matrix; of a category, its codes.
            codes: Code of each category, for a category's column.
        """
        known = ~np.isnan(column)
        numbers = [codes.get(str(value), np.nan) if codes is not None else float(value) for value in self.values]
        return np.asarray(known & _COMPARE[self.operator](column, numbers), dtype=np.bool_)


_COMPARE: dict[str, Callable[[Vector, list[float]], NDArray[np.bool_]]] = {
    ">=": lambda column, numbers: column >= numbers[0],
    ">": lambda column, numbers: column > numbers[0],
    "<=": lambda column, numbers: column <= numbers[0],
    "<": lambda column, numbers: column < numbers[0],
    "=": lambda column, numbers: column == numbers[0],
    "!=": lambda column, numbers: column != numbers[0],
    "between": lambda column, numbers: (column >= numbers[0]) & (column <= numbers[1]),
    "in": lambda column, numbers: np.isin(column, numbers),
}


def read_condition(written: Written, *, is_category: bool) -> Condition:
    """A condition as somebody wrote it.

    Args:
        written: `">= 3"`, `"50 .. 999"`, `2`, `true`; for a category `"referral"`, `["referral", "event"]`,
            `"!= referral"`.
        is_category: Whether the feature is a category.

    Raises:
        ValueError: if it is no condition for such a feature, with what would be one.

    Example:
        >>> read_condition("50 .. 999", is_category=False)
        Condition(operator='between', values=(50.0, 999.0))
        >>> read_condition(["referral", "event"], is_category=True)
        Condition(operator='in', values=('referral', 'event'))
    """
    if isinstance(written, str):
        return _read_category_text(written) if is_category else _read_number_text(written)
    if isinstance(written, Sequence):
        if not written:
            raise ValueError("an empty list meets nothing")
        return Condition("in", tuple(str(each) if is_category else _number(each) for each in written))
    return Condition("=", (str(written) if is_category else float(written),))


def _read_category_text(written: str) -> Condition:
    text = written.strip()
    if not text:
        raise ValueError(f"an empty text is no condition; expected {_CATEGORY}")
    if text.startswith("!="):
        return Condition("!=", (text[2:].strip(),))
    if text.startswith((">", "<")):
        raise ValueError(f"'{written}' compares sizes, and a category has none; expected {_CATEGORY}")
    return Condition("=", (text.removeprefix("=").strip(),))


def _read_number_text(written: str) -> Condition:
    found = _RANGE.match(written)
    if found:
        low, high = (_number(end) for end in found.groups())
        if low > high:
            raise ValueError(f"the range '{written}' ends before it begins")
        return Condition("between", (low, high))
    text = written.strip()
    operator = next((each for each in OPERATORS if text.startswith(each)), "=")
    return Condition(operator, (_number(text.removeprefix(operator)),))


def _number(text: Plain) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"'{text}' is no number; expected {_NUMBER}") from None
    if not np.isfinite(number):
        raise ValueError(f"'{text}' is no finite number")
    return number
