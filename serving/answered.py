"""Scores as they go out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serving.scored import Scored


@dataclass(frozen=True)
class Answered:
    """One score as it goes out.

    Args:
        scored: The score.
        added: What the answer says beside it.
    """

    scored: Scored
    added: dict[str, Any]

    def to_json(self) -> bytes:
        """The answer's body."""
        return self.scored.answer(self.added)


@dataclass(frozen=True)
class Scores:
    """Scores of one request.

    Args:
        rows: One per id that was found, in the order asked.
        not_found: Ids that the store does not know.
        stamp: Model, alias and moments of the whole request.
    """

    rows: list[Answered]
    not_found: list[str]
    stamp: dict[str, Any]
