"""One score: the scorer's record with what the service adds, as the JSON that goes out.

The part that does not change from request to request is written once; a score that is answered again costs a few
joined bytes. `serving.answers` documents the same JSON, and a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from features.online_store_layout import to_microseconds
from serving.champions import Champion
from serving.stored_features import Reading

if TYPE_CHECKING:
    from features.repository import OnlineAnswer

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY
REASONS = 5
"""Reasons a side."""
PROBABILITIES = {"lead": "conversion_probability", "deal": "win_probability"}
KEYS = {"lead": "lead_id", "deal": "opportunity_id"}


def to_json(value: Any) -> bytes:
    """`value` as JSON: moments in UTC with a Z, NaN as null."""
    return orjson.dumps(value, option=_OPTIONS)


@dataclass(frozen=True, slots=True)
class Scored:
    """A score that can be answered any number of times.

    Args:
        task: `lead` or `deal`.
        identifier: Whose score.
        owner: Rep who owns the lead or deal; None where the store does not say.
        champion: What scored it.
        probability: The calibrated probability.
        views: Feature views that it rests on, in order of their names.
        oldest_at: The oldest moment that features stand for.
        expired: Features that counted as missing because of their age.
        scored_at: When, by the clock on the wall, UTC.
        valid_until: When to score again, even if nothing changed.
        fixed: JSON of everything that stays the same, open at its end.
        logged: JSON fields that the prediction log keeps of it: what the model read, since when, and the reasons.
    """

    task: str
    identifier: str
    owner: str | None
    champion: Champion
    probability: float
    views: tuple[str, ...]
    oldest_at: datetime | None
    expired: tuple[str, ...]
    scored_at: datetime
    valid_until: datetime
    fixed: bytes
    logged: bytes

    @property
    def record(self) -> dict[str, Any]:
        """What the scorer said, as it stands in the JSON: thousands of scores are kept, and few are looked into."""
        record: dict[str, Any] = orjson.loads(self.fixed + b"}")
        return record

    def added(
        self,
        *,
        now: datetime,
        request_id: str,
        is_cached: bool,
        is_last_known: bool,
        override: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """What an answer says beside the score itself.

        Args:
            now: The service's now.
            request_id: Id of the request.
            is_cached: Whether the score was made for an earlier request and nothing changed since.
            is_last_known: Whether the store was away.
            override: What a person decided instead, if anybody did.
        """
        age = (now - self.oldest_at).total_seconds() if self.oldest_at is not None else None
        return {
            "as_of": now,
            "features": {
                "oldest_at": self.oldest_at,
                "age_seconds": age,
                "expired": self.expired,
                "is_last_known": is_last_known,
            },
            "is_cached": is_cached,
            "override": override,
            "request_id": request_id,
        }

    def answer(self, added: Mapping[str, Any]) -> bytes:
        """The whole answer as JSON."""
        return self.fixed + b"," + to_json(added)[1:]


def scored_rows(
    task: str, champion: Champion, reading: Reading, *, at: datetime, as_of: datetime, exact: bool = False
) -> list[Scored]:
    """Score what was found of a reading.

    Args:
        task: `lead` or `deal`.
        champion: Whose scorer to use.
        reading: Features of some ids.
        at: The clock on the wall, UTC.
        as_of: Moment that the features stand for, UTC; dates ahead are counted from it.
        exact: Whether the library itself computes every reason there is, instead of tables the strongest.
    """
    answer, scorer = reading.answer, champion.scorer_or_raise()
    rows = [row for row, is_found in enumerate(answer.found) if is_found]
    if not rows:
        return []
    names = scorer.manifest.feature_names
    is_all = len(rows) == len(answer.ids)
    columns = {name: answer.values[name] if is_all else [answer.values[name][row] for row in rows] for name in names}
    ids = [answer.ids[row] for row in rows]
    records = scorer.record(columns, ids=ids, at=at, as_of=as_of, top=len(names) if exact else REASONS, exact=exact)
    stamp = {"model_name": champion.name, "model_version": champion.version, "alias": champion.alias}
    views = tuple(sorted(answer.view_timestamps))
    return [
        Scored(
            task=task,
            identifier=answer.ids[row],
            owner=reading.owners[row],
            champion=champion,
            probability=float(record[PROBABILITIES[task]]),
            views=views,
            oldest_at=answer.feature_timestamps[row],
            expired=answer.expired[row],
            scored_at=at,
            valid_until=record["valid_until"],
            fixed=to_json({**record, **stamp})[:-1],
            logged=_logged(dict(zip(names, values, strict=True)), record, answer, row),
        )
        for row, record, values in zip(rows, records, zip(*columns.values(), strict=True), strict=True)
    ]


def _logged(features: Mapping[str, Any], record: Mapping[str, Any], answer: OnlineAnswer, row: int) -> bytes:
    oldest = answer.feature_timestamps[row]
    factors = record["scoring_factors"]
    reasons = [
        {"feature": factor["feature"], "contribution": factor["contribution"]}
        for factor in (*factors["for"], *factors["against"])
    ]
    kept = {
        "oldest_at": None if oldest is None else to_microseconds(oldest),
        "expired": answer.expired[row],
        "reasons": reasons,
        "features": features,
        "feature_timestamps": {
            view: None if (moment := moments[row]) is None else to_microseconds(moment)
            for view, moments in answer.view_timestamps.items()
        },
    }
    return to_json(kept)[1:-1]
