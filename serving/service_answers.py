"""What the services answer of themselves: models, checks, health."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from serving.answers import Answer


class ServedModel(Answer):
    """A model that this service answers with."""

    task: str = Field(description="lead, deal or forecast.")
    name: str = Field(description="Registered model.")
    alias: str = Field(description="Alias that it was found by: champion, or challenger on trial.")
    version: str | None = Field(description="Version in use; null where none could be loaded.")
    loaded_at: datetime | None = Field(description="When this process loaded it, UTC.")
    trained_at: datetime | None = Field(None, description="When it was trained, UTC.")
    feature_service: str | None = Field(None, description="Feature service it reads.")
    metrics: dict[str, float] = Field(default_factory=dict, description="Figures on later data than it was trained on.")
    previous_version: str | None = Field(None, description="Version kept ready for a roll-back; null for none.")
    probed_cases: int = Field(0, description="Stored cases that it answered as at training before it was taken up.")
    trial: str | None = Field(None, description="For a challenger: shadow or answer, and its share of the ids.")
    problem: str | None = Field(None, description="Why the newest version is not in use, where it is not.")


class Models(Answer):
    """The models in use."""

    workspace: str = Field(description="Workspace that is served.")
    models: list[ServedModel] = Field(description="One per task, and one per challenger on trial.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class Check(Answer):
    """One thing that has to be well for answers to be right."""

    name: str = Field(description="model:lead, store, features, registry, …")
    ok: bool = Field(description="Whether it is well.")
    detail: str = Field(description="What was seen.")
    next_step: str | None = Field(None, description="What to do where it is not ok.")


class Health(Answer):
    """Whether answers can be trusted now."""

    status: Literal["healthy"] = Field("healthy", description="Always healthy: what is not is a problem, 503.")
    workspace: str = Field(description="Workspace that is served.")
    as_of: datetime = Field(description="The service's now, UTC.")
    checks: list[Check] = Field(description="Everything that was looked at.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


class Ready(Answer):
    """Every task served has a model."""

    status: Literal["ready"] = Field("ready", description="Always ready: what is not is a problem, 503.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")
