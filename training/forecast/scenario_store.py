"""Comparisons of scenarios on disk: what was asked and made from what, and what came out; each can be made again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.code_version import code_digest
from common.errors import InputError, NotFoundError, shorten
from common.whole_files import write_whole
from training.forecast.history import COMPANY, LEVELS
from training.forecast.periods import Period, parse_period
from training.forecast.scenario_file import Scenario, parse_scenarios, require_known
from training.forecast.scenario_spread import built_in_scenarios, measure_spreads
from training.forecast.scenarios import Question, compare_scenarios, scenarios_id

if TYPE_CHECKING:
    from common.workspace import Workspace
    from training.forecast.asking import Forecaster, Progress

_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{10}")
_MOST_WAITING = 50


class ScenarioStore:
    """The comparisons of a workspace, one JSON file each.

    Args:
        workspace: Whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.folder: Path = workspace.root / "scenarios"

    def save(self, document: Mapping[str, Any]) -> None:
        """Keep a comparison; it appears whole or not at all."""
        write_whole(self._path(document["scenario_id"]), json.dumps(document, indent=1, allow_nan=False) + "\n")

    def get(self, scenario_id: str) -> dict[str, Any]:
        """A comparison by its id.

        Raises:
            NotFoundError: if there is none.
        """
        # An id comes from outside and becomes a path.
        if not _ID.fullmatch(scenario_id) or not self._path(scenario_id).is_file():
            known = self.ids()
            raise NotFoundError(
                f"There is no comparison of scenarios '{scenario_id}'",
                expected=f"one of {shorten(known)}" if known else None,
                next_step="make one with `salience forecast scenarios`",
                field="scenario_id",
            )
        found: dict[str, Any] = json.loads(self._path(scenario_id).read_text(encoding="utf-8"))
        return found

    def find(self, scenario_id: str) -> dict[str, Any] | None:
        """A comparison by its id, or None."""
        return self.get(scenario_id) if self._path(scenario_id).is_file() else None

    def ids(self) -> list[str]:
        """Ids of all that are kept, the newest first."""
        paths = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [path.stem for path in paths]

    def submit(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Keep a comparison to be computed; one that is there already stays as it is, unless it failed.

        Raises:
            InputError: if too many wait.
        """
        known = self.find(document["scenario_id"])
        if known is not None and known["status"] != "failed":
            return known
        if sum(one["status"] in ("waiting", "running") for one in self._all()) >= _MOST_WAITING:
            raise InputError(f"{_MOST_WAITING} comparisons wait already", next_step="wait until some are done")
        self.save(document)
        return dict(document)

    def next(self) -> dict[str, Any] | None:
        """The one to compute: the first that waits or was left running."""
        open_ones = [one for one in self._all() if one["status"] in ("waiting", "running")]
        return min(open_ones, key=lambda one: (one["submitted_at"], one["scenario_id"]), default=None)

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Whether this process is the one that computes, for as long as the block lasts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".runner").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def _all(self) -> list[dict[str, Any]]:
        return [self.get(path.stem) for path in self.folder.glob("*.json") if _ID.fullmatch(path.stem)]

    def _path(self, scenario_id: str) -> Path:
        return self.folder / f"{scenario_id}.json"


def new_comparison(
    forecaster: Forecaster,
    scenarios: Sequence[Scenario] | None,
    *,
    period: str,
    level: str,
    entity_id: str | None,
    at: datetime,
    by: str,
) -> dict[str, Any]:
    """A comparison that is still to be computed.

    Args:
        forecaster: The workspace's forecasts.
        scenarios: The scenarios; None for optimistic, realistic and pessimistic as measured.
        period: For when.
        level: Level whose entities are shown.
        entity_id: The one that levers are valued for; None for the level's only one.
        at: The moment, UTC.
        by: Who asks.

    Raises:
        InputError: if the period is malformed, over or outside the horizon, or no entity is given.
        NotFoundError: if there is no such level, entity, region, team or rep.
        TooLittleDataError: if the past spread cannot be measured.
    """
    from training.forecast.story import checked_period

    wanted = checked_period(forecaster, period, level, entity_id, at=at)
    reps = forecaster.reps(at)
    entity = entity_id or _only(reps, level)
    spreads = [] if scenarios is not None else measure_spreads(forecaster.history, at=at)
    asked = list(scenarios) if scenarios is not None else built_in_scenarios(spreads)
    require_known(asked, reps)
    question = Question(level=level, entity_id=entity, period=wanted, as_of=at)
    made_from = inputs_of(forecaster)
    return {
        "scenario_id": scenarios_id(question, asked, made_from=made_from),
        "status": "waiting",
        "problem": None,
        "submitted_at": datetime.now(UTC).isoformat(),
        "submitted_by": by,
        **question.to_dict(),
        "unit": forecaster.protocol.unit,
        "is_built_in": scenarios is None,
        "spreads": [asdict(one) for one in spreads],
        "inputs": [one.model_dump(exclude_defaults=True) for one in asked],
        "made_from": made_from,
        "scenarios": [],
        "digest": None,
        "notes": [],
    }


def inputs_of(forecaster: Forecaster) -> dict[str, Any]:
    """What a comparison is made from besides its question: the tables' fingerprint, the code's digest, the options."""
    return {
        "warehouse": forecaster.warehouse.fingerprint(),
        "code": code_digest(("training",)),
        **forecaster.options,
    }


def changed_inputs(forecaster: Forecaster, kept: Mapping[str, Any], anew: Mapping[str, Any]) -> list[str]:
    """Names of what is another than when a comparison was made, by which it may come out otherwise.

    Args:
        forecaster: The workspace's forecasts.
        kept: The comparison as it was kept.
        anew: The same, computed again.
    """
    now = inputs_of(forecaster)
    found = [name for name, value in kept["made_from"].items() if now.get(name) != value]
    return found + (["deal model"] if kept.get("deal_model") != anew.get("deal_model") else [])


def compute_comparison(
    forecaster: Forecaster, document: Mapping[str, Any], *, progress: Progress | None = None
) -> dict[str, Any]:
    """The comparison with its results.

    Args:
        forecaster: The workspace's forecasts.
        document: As `new_comparison` or the store gives it.
        progress: Told (what, done, total).

    Raises:
        TooLittleDataError: if too little was known at its moment.
    """
    at = datetime.fromisoformat(document["as_of"])
    question = Question(
        level=document["level"], entity_id=document["entity_id"], period=parse_period(document["period"]), as_of=at
    )
    results = compare_scenarios(
        lambda levers: forecaster.make(at, levers),
        _scenarios(document),
        question,
        reps=forecaster.reps(at),
        quotas=_quotas(forecaster, question.level, question.period, at=at),
        progress=progress,
    )
    plain = json.loads(json.dumps(results))
    learned, notes = forecaster.learned(at)
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    return {
        **document,
        "status": "done",
        "problem": None,
        "scenarios": plain,
        "digest": digest,
        "deal_model": learned.details().get("deal_model_version"),
        "notes": list(notes),
    }


def _scenarios(document: Mapping[str, Any]) -> list[Scenario]:
    if document["is_built_in"]:
        return [Scenario.model_validate(value) for value in document["inputs"]]
    return parse_scenarios(document["inputs"], where=document["scenario_id"])


def _quotas(forecaster: Forecaster, level: str, period: Period, *, at: datetime) -> dict[str, float]:
    from training.forecast.pipeline_baselines import quota_values

    found = quota_values(forecaster.history, [period], at=at)
    mine = found[found["level"] == level]
    return dict(zip(mine["entity_id"], mine["quota"], strict=True))


def _only(reps: Any, level: str) -> str:
    if level == COMPANY:
        return COMPANY
    known = sorted(set(reps[{"rep": "rep_id"}.get(level, level)])) if level in LEVELS else []
    if len(known) == 1:
        return str(known[0])
    raise InputError(
        f"Levers are valued for one {level}, and there are {len(known)}",
        expected=f"--entity with one of {shorten(known)}",
        field="entity_id",
    )
