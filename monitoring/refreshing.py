"""What a refresh hangs on: when the model was last tried to be bettered, and how many labels became known since.

A champion that answers well enough is left alone by every check, while labels of newer times keep coming; after a
change the model that was promoted first has seen little of the new times. So now and then the gate is asked again
although nothing fails (docs/adr/0036). The clock starts with the newest training that went before the gate, or else
with the first look at the version: what came before that, whoever trained it may have seen.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from common.clock import parse_moment
from common.workspace import Workspace
from monitoring.decisions import RETRAINING, decision_log
from monitoring.gathering import Material
from monitoring.look import read_looks
from training.splits import instant


def last_try(workspace: Workspace, *, task: str, model: str, version: str, until: datetime) -> datetime | None:
    """When the newest training before `until` went before the gate, or this version was first looked at.

    Args:
        workspace: Holds the looks and the log.
        task: lead or deal.
        model: Registered model.
        version: The champion.
        until: The present of the data; what came later, in a run that catches up, is left out.

    Returns:
        On the data's clock; None where this is the first look at the version and nothing was trained by the policy.
    """
    steps = decision_log(workspace).steps(step=RETRAINING)
    trained = [parse_moment(step.record["data_time"]) for step in steps if step.record["model"] == model]
    looked = [look.end for look in read_looks(workspace, task) if look.version == version and look.end < until]
    moments = [moment for moment in (*trained, *looked[:1]) if moment <= until]
    return max(moments, default=None)


def refresh_facts(material: Material, workspace: Workspace) -> dict[str, Any]:
    """`last_try` and `fresh_labels` of a look, as JSON values."""
    champion = material.champion
    since = last_try(workspace, task=material.task, model=champion.name, version=champion.version, until=material.end)
    return {"last_try": since and since.isoformat(), "fresh_labels": count_fresh(material, since=since)}


def count_fresh(material: Material, *, since: datetime | None) -> int:
    """Leads or deals with a mature label that had none at `since`; all that have one where there is no such moment."""
    known = ~np.isnan(material.label)
    entity, as_of = material.entity[known], material.as_of[known]
    fresh = set(entity.tolist())
    if since is not None:
        fresh -= set(entity[as_of <= instant(since - material.horizon)].tolist())
    return len(fresh)
