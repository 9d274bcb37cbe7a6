"""The product's errors: what is wrong, which thing, what was expected, what was found, what to do next.

Every error a user can meet is a `SalienceError`. The command line prints it as a sentence and exits with `exit_code`;
the services turn it into a JSON problem with `http_status`. Anything else that escapes is a defect.
"""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN_IDS = 5


def shorten(ids: Iterable[object], *, limit: int = _SHOWN_IDS) -> str:
    """Name at most `limit` ids and count the rest: ``"a, b, c and 4 more"``.

    Example:
        >>> shorten(["a", "b", "c"], limit=2)
        'a, b and 1 more'
    """
    items = [str(item) for item in ids]
    shown = ", ".join(items[:limit])
    rest = len(items) - limit
    return f"{shown} and {rest} more" if rest > 0 else shown


class SalienceError(Exception):
    """Base of all errors that a user can meet.

    Args:
        what: One sentence that says what is wrong and names the thing.
        expected: What would have been right, if that helps.
        got: What was found instead.
        next_step: What to do, preferably a command.
        field: The input field at fault, for requests.
    """

    http_status = 500
    exit_code = 1
    title = "Internal error"

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        next_step: str | None = None,
        field: str | None = None,
    ) -> None:
        self.what = what
        self.expected = expected
        self.got = got
        self.next_step = next_step
        self.field = field
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The whole error as text, one part a sentence."""
        parts = [self.what.rstrip(".") + "."]
        if self.expected is not None:
            parts.append(f"Expected: {self.expected.rstrip('.')}.")
        if self.got is not None:
            parts.append(f"Got: {self.got.rstrip('.')}.")
        if self.next_step is not None:
            parts.append(f"Next: {self.next_step.rstrip('.')}.")
        return " ".join(parts)


class InputError(SalienceError):
    """Something the caller gave is unusable."""

    http_status = 422
    exit_code = 2
    title = "Invalid input"


class SourceError(InputError):
    """A data source is unknown, missing, empty, or not what its mapping says."""

    title = "Unusable source"


class ContractError(InputError):
    """Data breaks the contract of a table or frame."""

    title = "Broken contract"


class NotFoundError(SalienceError):
    """An id, table, model or file does not exist."""

    http_status = 404
    exit_code = 3
    title = "Not found"


class TooLittleDataError(SalienceError):
    """A model needs more outcomes than the warehouse holds."""

    http_status = 409
    exit_code = 4
    title = "Too little data"


class LeakError(SalienceError):
    """A field seems to know the future; training stops."""

    http_status = 409
    exit_code = 5
    title = "Leak found"


class UnavailableError(SalienceError):
    """A part that is needed to answer (store, registry, model) is away."""

    http_status = 503
    exit_code = 6
    title = "Unavailable"
