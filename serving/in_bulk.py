"""Scores of many stored leads or deals in one request: what was made before and still holds, and the rest computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from common.errors import UnavailableError
from serving.answered import Answered, Scores
from serving.champions import Champion
from serving.scored import Scored, scored_rows

if TYPE_CHECKING:
    from serving.engine import Engine

CHUNK_IDS = 500


def score_many(
    engine: Engine,
    task: str,
    ids: Sequence[str],
    *,
    request_id: str,
    may_see: Callable[[str | None], bool],
    kind: str | None,
) -> Scores:
    """Score stored leads or deals with the champion.

    Args:
        engine: What answers.
        task: `lead` or `deal`.
        ids: Their ids; one asked for twice is answered once.
        request_id: Id of the request.
        may_see: Whether the caller may see what a rep owns; what it may not is not found.
        kind: How the log calls it; None: it is not logged.

    Raises:
        NotFoundError: if the workspace has no such model.
        UnavailableError: if there is no champion, or the store is away and nothing is known of some id.
    """
    began, champion = time.perf_counter(), engine.slot(task).require()
    asked, now, wall = list(dict.fromkeys(ids)), engine.moment.now(), datetime.now(UTC)
    rows: list[Answered] = []
    for start in range(0, len(asked), CHUNK_IDS):
        part = asked[start : start + CHUNK_IDS]
        kept = {each: engine.store.cached(_key(champion, task, each), champion, now=now, wall=wall) for each in part}
        missing = [each for each in part if kept[each] is None]
        found, is_last_known = _computed(engine, task, champion, missing, now=now, wall=wall)
        for each in part:
            before = kept[each]
            scored = before or found.get(each)
            if scored is not None and may_see(scored.owner):
                told = {"is_cached": before is not None, "is_last_known": is_last_known and before is None}
                rows.append(engine.answered(scored, now=now, request_id=request_id, **told))
    if kind is not None:
        for answered in rows:
            engine.keep(answered, kind=kind, began=began)
    seen = {answered.scored.identifier for answered in rows}
    stamp = {
        "model_name": champion.name,
        "model_version": champion.version,
        "alias": champion.alias,
        "scored_at": wall,
        "as_of": now,
    }
    return Scores(rows=rows, not_found=[each for each in asked if each not in seen], stamp=stamp)


def _computed(
    engine: Engine, task: str, champion: Champion, ids: list[str], *, now: datetime, wall: datetime
) -> tuple[dict[str, Scored], bool]:
    """Scores of those ids that the store knows, and whether they are the last known ones."""
    if not ids:
        return {}, False
    try:
        reading, is_last_known = engine.features_of(champion, ids, now=now)
    except UnavailableError:
        last = {each: engine.store.last_score(_key(champion, task, each), champion) for each in ids}
        known = {each: scored for each, scored in last.items() if scored is not None}
        if len(known) < len(ids):
            raise
        return known, True
    found = scored_rows(task, champion, reading, at=wall, as_of=now)
    return {scored.identifier: scored for scored in found}, is_last_known


def _key(champion: Champion, task: str, identifier: str) -> tuple[str, str, str]:
    return (champion.alias, task, identifier)
