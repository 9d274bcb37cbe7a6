"""Times: always UTC, always aware, microseconds."""

from __future__ import annotations

from datetime import UTC, date, datetime

from common.errors import InputError


def utc(value: datetime) -> datetime:
    """Give `value` in UTC.

    Raises:
        InputError: if `value` has no time zone; a naive time cannot be placed.
    """
    if value.tzinfo is None:
        raise InputError(
            f"The time {value.isoformat()} has no time zone",
            expected="a time with an offset, such as 2026-01-01T00:00:00Z",
            next_step="add the offset, or map the source's time zone",
        )
    return value.astimezone(UTC)


def parse_moment(text: str, *, field: str | None = None) -> datetime:
    """Read a day or a time in ISO 8601 as a moment in UTC; a day means its first instant in UTC.

    Raises:
        InputError: if the text is no such day or time, or is a time without an offset.

    Example:
        >>> parse_moment("2025-03-31").isoformat()
        '2025-03-31T00:00:00+00:00'
    """
    try:
        if len(text) == len("2025-03-31"):
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"'{text}' is not a day or time",
            expected="ISO 8601, such as 2025-03-31 or 2025-03-31T12:00:00Z",
            field=field,
        ) from error
    return utc(moment)
