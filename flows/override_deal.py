"""Overrides of deals: into the record that the services keep too, and out of it with what came of the deals."""

from __future__ import annotations

import getpass
import json
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from common.errors import InputError

if TYPE_CHECKING:
    from flows.parts import Platform
    from training.deals.overrides import Overridden

_LEAST_WORDS = 2


def override_deal(
    platform: Platform, deal_id: str, *, probability: float | None, because: str, who: str | None
) -> dict[str, Any]:
    """Record a person's probability of winning a deal beside the model's.

    Args:
        platform: The workspace.
        deal_id: The deal; it must be open.
        probability: What holds instead; None lets the model's word hold again.
        because: Why.
        who: Who says so; the user of this machine unless given.

    Raises:
        InputError: if there is no justification.
        NotFoundError: if there is no model, or the deal is not open.
        UnavailableError: if the record cannot be written.
    """
    from serving.decisions import DecisionRecord
    from training.deals.asking import deal_story

    if len(because.split()) < _LEAST_WORDS:
        raise InputError(
            "A probability is overridden only for a reason",
            expected="--because with a sentence that others will understand later",
            got=f"'{because}'",
            field="because",
        )
    story = deal_story(
        platform.repository,
        platform.warehouse,
        platform.registry,
        platform.workspace,
        deal_id=deal_id,
        at=platform.now(),
    )
    record = story["record"]
    decision = DecisionRecord(platform.workspace).decide(
        "deal",
        deal_id,
        value=probability,
        justification=because,
        caller=who or getpass.getuser(),
        role="command line",
        request_id=str(uuid.uuid4()),
        model_said={
            "win_probability": record["win_probability"],
            "model_version": record["model_version"],
            "as_of": platform.now().isoformat(),
        },
    )
    return {
        "number": decision.number,
        "entity_id": deal_id,
        "value": decision.value,
        "model": record["win_probability"],
        "by": decision.caller,
    }


def read_overrides(platform: Platform) -> list[Overridden]:
    """All overrides of deals ever made, with what has become of the deals by now; those taken back too."""
    from serving.decisions import DecisionRecord
    from training.deals.outcomes import ends_at
    from training.deals.overrides import Overridden

    ended = ends_at(platform.warehouse, cut=platform.now())
    found = []
    for row in DecisionRecord(platform.workspace).all():
        person, said = json.loads(row["value"]), json.loads(row["model_said"])
        if row["task"] != "deal" or person is None:
            continue
        found.append(
            Overridden(
                opportunity_id=row["entity_id"],
                at=datetime.fromisoformat(row["at"]),
                who=row["caller"],
                because=row["justification"],
                person=float(person),
                model=float(said["win_probability"]),
                model_version=str(said.get("model_version", "")),
                won=ended.get(row["entity_id"]),
            )
        )
    return found
