"""True health: models loaded, registry followed, clock known, store reached, features fresh."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from common.errors import SalienceError
from serving.aliases import ALIAS
from serving.champions import ChampionSlot
from serving.engine import FOLLOW_SECONDS, NO_SUCH_ID, SCORED, Engine
from serving.patient_store import away_errors
from serving.probes import PROBED_ROWS
from serving.service_answers import Check, ServedModel
from serving.sources import Forecasts, Sink

_FOLLOWED_WITHIN = timedelta(seconds=max(30.0, 10 * FOLLOW_SECONDS))
_MATERIALIZE = "run: salience features materialize"


def checks(engine: Engine) -> list[Check]:
    """Everything that has to be well for the engine's answers to be right."""
    found = [_model(slot) for slot in engine.slots.values()]
    if not found:
        found = [Check(name="models", ok=False, detail="No task of this service has a model in this workspace.")]
    found += [_registry(engine), _clock(engine)]
    for task in SCORED:
        slot = engine.slots.get(task)
        if slot is not None and slot.current is not None and slot.current.scorer is not None:
            found.append(_features(engine, task, slot.current.scorer.manifest.feature_service))
    if engine.log is not None:
        found.append(_log(engine.log))
    if engine.forecasts is not None:
        found.append(_forecast(engine.forecasts))
    return found


def served_models(engine: Engine) -> list[ServedModel]:
    """The models in use, and the challengers on trial."""
    trial = engine.trial
    on_trial = f"{trial.mode}, {trial.share:.0%} of the ids"
    return [
        *(_served(slot) for slot in engine.slots.values()),
        *(_served(slot, trial=on_trial) for slot in trial.slots.values()),
    ]


def _model(slot: ChampionSlot) -> Check:
    current = slot.current
    name = f"model:{slot.task}"
    if current is None:
        detail = slot.problem or f"{slot.name} is not loaded"
        return Check(name=name, ok=False, detail=detail, next_step=f"run: salience train {slot.task}")
    detail = f"{current.name} version {current.version} ({ALIAS}), loaded {current.loaded_at:%Y-%m-%dT%H:%M:%SZ}"
    if slot.problem is not None:
        return Check(
            name=name,
            ok=False,
            detail=f"{detail}; the newest {ALIAS} could not be taken up: {slot.problem}",
            next_step="put the alias back on a version that loads, or train again",
        )
    return Check(name=name, ok=True, detail=detail)


def _registry(engine: Engine) -> Check:
    seen = engine.followed_at
    if seen is None or datetime.now(UTC) - seen > _FOLLOWED_WITHIN:
        detail = "The registry's aliases are not being followed" + (f" since {seen:%H:%M:%SZ}" if seen else "")
        return Check(
            name="registry", ok=False, detail=detail, next_step="restart the service; its log says why it stopped"
        )
    return Check(name="registry", ok=True, detail=f"Aliases looked at {seen:%Y-%m-%dT%H:%M:%SZ}")


def _clock(engine: Engine) -> Check:
    if engine.clock_problem is not None:
        return Check(name="clock", ok=False, detail=engine.clock_problem, next_step="run: salience ingest")
    return Check(name="clock", ok=True, detail=f"Now is {engine.moment.now():%Y-%m-%dT%H:%M:%SZ}")


def _features(engine: Engine, task: str, service: str) -> Check:
    """Whether the store answers, and whether what it holds of something open is there and not past its time to live."""
    name = f"features:{task}"
    now = engine.moment.now()
    ids = engine.open_ids(task)
    sample = ids[0] if ids else None
    try:
        answer = engine.store.features.read(service, [sample or NO_SUCH_ID], at=now).answer
    except away_errors() as error:
        detail = f"The feature store cannot be read: {type(error).__name__}"
        return Check(name=name, ok=False, detail=detail, next_step=_MATERIALIZE)
    if ids is None:
        detail = f"The store answers, but which {task} is open cannot be told"
        return Check(name=name, ok=False, detail=detail, next_step="run: salience ingest; the service's log says why")
    if sample is None:
        return Check(name=name, ok=True, detail=f"The store answers; no {task} is open")
    if not answer.found[0]:
        detail = f"The open {task} {sample} is not in the feature store"
        return Check(name=name, ok=False, detail=detail, next_step=_MATERIALIZE)
    oldest = answer.feature_timestamps[0] or now
    age = f"{(now - oldest).total_seconds() / 3600:.1f} hours old"
    if answer.expired[0]:
        detail = f"{len(answer.expired[0])} features of the open {task} {sample} have expired; the oldest is {age}"
        return Check(name=name, ok=False, detail=detail, next_step=_MATERIALIZE)
    return Check(name=name, ok=True, detail=f"Features of the open {task} {sample} are {age}")


def _log(log: Sink) -> Check:
    told = f"{log.written} predictions written since the start"
    if log.problem is None:
        return Check(name="prediction log", ok=True, detail=told)
    detail = f"{log.problem}; {log.waiting} wait in memory, {log.lost} were given up, {told}"
    return Check(name="prediction log", ok=False, detail=detail, next_step="make room on the disk of the workspace")


def _forecast(forecasts: Forecasts) -> Check:
    try:
        newest = forecasts.latest_id()
    except (SalienceError, OSError) as error:
        detail = error.what if isinstance(error, SalienceError) else f"The forecasts cannot be read: {error.strerror}"
        return Check(name="forecasts", ok=False, detail=detail, next_step="run: salience train forecast")
    return Check(name="forecasts", ok=True, detail=f"The newest forecast is {newest}")


def _served(slot: ChampionSlot, *, trial: str | None = None) -> ServedModel:
    current = slot.current
    if current is None:
        return ServedModel(
            task=slot.task,
            name=slot.name,
            alias=slot.alias,
            version=None,
            loaded_at=None,
            trial=trial,
            problem=slot.problem,
        )
    manifest = current.scorer.manifest if current.scorer is not None else None
    return ServedModel(
        task=slot.task,
        name=slot.name,
        alias=slot.alias,
        version=current.version,
        loaded_at=current.loaded_at,
        trained_at=datetime.fromisoformat(manifest.trained_at) if manifest is not None else None,
        feature_service=manifest.feature_service if manifest is not None else None,
        metrics=current.metrics,
        previous_version=slot.previous.version if slot.previous is not None else None,
        probed_cases=PROBED_ROWS if manifest is not None else 0,
        trial=trial,
        problem=slot.problem,
    )
