"""Hand-written neighbours of serving: a two-feature bundle for the real Scorer, and stores that can be switched off."""

from __future__ import annotations

import asyncio
import atexit
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from common.errors import InputError, NotFoundError, UnavailableError
from common.settings import Settings
from common.workspace import Workspace
from serving.aliases import Aliased
from serving.boundary import Boundary, RealPath
from serving.champions import ChampionSlot
from serving.decisions import DecisionRecord
from serving.engine import Engine
from serving.jobs import JobStarter
from serving.moment import Moment
from serving.open_things import OpenThings
from serving.routes import TASKS, build_app, paths_of
from serving.stored_features import Mark, Reading
from training.bundle import write_reference
from training.calibration import Calibration
from training.manifest import Band, FeatureEntry, Manifest
from training.scorer import Scorer

NOW = datetime(2025, 3, 31, tzinfo=UTC)
FEATURES = ("count_pricing_view_30d", "employee_count")


def write_bundle(folder: Path, *, task: str = "lead", version: str = "1", slope: float = 1.0) -> Path:
    """A bundle of 20 small trees on two features; a higher `slope` gives other probabilities."""
    shutil.copytree(_bundle(task, version, slope), folder, dirs_exist_ok=True)
    return folder


@cache
def _bundle(task: str, version: str, slope: float) -> Path:
    """The same, made once in a run of the tests."""
    folder = Path(tempfile.mkdtemp(prefix="salience-bundle-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    import lightgbm

    random = np.random.default_rng(7)
    matrix = random.normal(size=(400, 2))
    label = (slope * matrix[:, 0] + random.normal(size=400) > 0).astype(float)
    params = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 7}
    booster = lightgbm.train(params, lightgbm.Dataset(matrix, label), num_boost_round=20)
    booster.save_model(str(folder / "model.txt"))
    grades = {"cold": 0.0, "warm": 0.4, "hot": 0.7} if task == "lead" else {"high": 0.0, "medium": 0.4, "low": 0.7}
    entries = tuple(
        FeatureEntry(
            name=name,
            dtype="float",
            group=group,
            about=name,
            unit="views",
            phrase=f"{name} is {{value}}",
            importance=0.5,
        )
        for name, group in zip(FEATURES, ("intent", "fit"), strict=True)
    )
    ladder = tuple(np.linspace(0, 1, 101).tolist())
    manifest = Manifest(
        task=task,
        name=f"toy-{task}",
        version=version,
        feature_service={"lead": "lead_score_v1", "deal": "deal_win_v1"}[task],
        features=entries,
        library="lightgbm",
        horizon_days=90,
        base_rate=0.5,
        trained_at="2025-03-31T00:00:00+00:00",
        trained_until="2025-01-01T00:00:00+00:00",
        calibration=Calibration().to_dict(),
        thresholds=grades,
        quantiles={"probability": ladder, "intent": ladder, "fit": ladder},
        bands=(Band(low=0.0, high=1.0, rate=0.5, rate_low=0.45, rate_high=0.55, rows=400),),
        metrics={"auc": 0.7},
    )
    manifest.write(folder)
    columns = {name: matrix[:, position] for position, name in enumerate(FEATURES)}
    as_of = np.full(len(matrix), np.datetime64("2025-01-01", "us"))
    write_reference(folder, Scorer.load(folder), columns=columns, as_of=as_of, seed=7)
    return folder


@dataclass
class Registry:
    """Aliases in a dictionary: model name to (version, bundle)."""

    aliases: dict[str, tuple[str, Path]] = field(default_factory=dict)
    challengers: dict[str, tuple[str, Path]] = field(default_factory=dict)
    is_away: bool = False

    def find(self, name: str, *, known: Aliased | None = None, alias: str = "champion") -> Aliased | None:
        if self.is_away:
            raise UnavailableError("The registry is away")
        found = (self.aliases if alias == "champion" else self.challengers).get(name)
        if found is None:
            return None
        version, bundle = found
        manifest = bundle / "manifest.json"
        metrics = json.loads(manifest.read_text())["metrics"] if manifest.is_file() else {}
        return Aliased(version=version, bundle=bundle, metrics=metrics)


@dataclass(frozen=True)
class Answer:
    """`features.repository.OnlineAnswer`."""

    ids: tuple[str, ...]
    found: tuple[bool, ...]
    values: dict[str, list[Any]]
    feature_timestamps: tuple[datetime | None, ...]
    expired: tuple[tuple[str, ...], ...]
    view_timestamps: dict[str, tuple[datetime | None, ...]] = field(default_factory=dict)


@dataclass
class Features:
    """Two features of the leads and deals `a`, `b`, `c`; `c`'s have expired. `a` and `b` are Ada's, `c` Ben's."""

    rows: dict[str, tuple[float | None, float | None]] = field(
        default_factory=lambda: {"a": (2.0, 0.1), "b": (-2.0, 0.3), "c": (None, 0.2)}
    )
    is_away: bool = False
    defect: Exception | None = None
    asked_at: datetime | None = None
    reads: int = 0

    def version(self) -> str | None:
        if self.is_away:
            raise UnavailableError("The online store is away")
        return repr(self.rows)

    def ids(self, service: str) -> list[str]:
        self.version()
        return list(self.rows)

    def is_unchanged(self, mark: Mark) -> bool:
        mark.version[0] = self.version()
        return mark.seen == self._seen([key.decode() for _, keys in mark.asked for key in keys])

    def _seen(self, ids: Sequence[str]) -> bytes:
        return repr([self.rows.get(identifier) for identifier in ids]).encode()

    def read(self, service: str, ids: Sequence[str], *, at: datetime) -> Reading:
        self.reads += 1
        answer: Any = self.online(service, ids, at=at)

        def mark_of(place: int) -> Mark | None:
            asked = (("toy", (ids[place].encode(),)),)
            seen = self._seen([ids[place]])
            return Mark(asked, seen, at, None, [self.version()]) if answer.found[place] else None

        owners = tuple({"a": "ada", "b": "ada", "c": "ben"}.get(identifier) for identifier in ids)
        return Reading(answer, owners, mark_of)

    def online(self, service: str, ids: Sequence[str], *, at: datetime) -> Answer:
        if self.is_away:
            raise UnavailableError("The online store is away")
        if self.defect is not None:
            raise self.defect
        self.asked_at = at
        rows = [self.rows.get(identifier, (None, None)) for identifier in ids]
        known = tuple(identifier in self.rows for identifier in ids)
        return Answer(
            ids=tuple(ids),
            found=known,
            values={name: [row[position] for row in rows] for position, name in enumerate(FEATURES)},
            feature_timestamps=tuple(at - timedelta(hours=6) if is_known else None for is_known in known),
            expired=tuple((FEATURES[0],) if identifier == "c" else () for identifier in ids),
        )

    def from_payload(self, service: str, payload: Mapping[str, Any], *, at: datetime) -> Answer:
        self.asked_at = at
        thing, happened = (
            (payload["lead"], payload["events"]) if "lead" in payload else (payload["deal"], payload["activities"])
        )
        identifier = thing.get("lead_id") or thing["opportunity_id"]
        values = (float(len(happened)), thing.get("employee_count"))
        return Answer(
            ids=(identifier,),
            found=(True,),
            values={name: [value] for name, value in zip(FEATURES, values, strict=True)},
            feature_timestamps=(at,),
            expired=((),),
        )


VALUE = {
    "forecast_id": "20250331T000000Z-0123456789-0",
    "level": "company",
    "entity_id": "company",
    "period": "2025Q2",
    "period_start": "2025-04-01",
    "period_end": "2025-06-30",
    "as_of": "2025-03-31T00:00:00+00:00",
    "unit": "usd",
    "expected": 100.0,
    "median": 90.0,
    "intervals": {"80": {"lower": 50.0, "upper": 150.0}},
    "components": {"closed": 40.0, "open": 60.0},
    "baselines": {"seasonal_naive": 80.0},
    "model_version": "1",
    "created_at": "2025-04-01T00:00:00+00:00",
}


@dataclass
class Forecasts:
    """One forecast for the company in 2025Q2."""

    is_empty: bool = False

    def latest_id(self) -> str:
        if self.is_empty:
            raise NotFoundError("There is no forecast yet")
        return "20250331T000000Z-0123456789"

    def answer(self, *, level: str, entity_id: str, period: str) -> dict[str, Any]:
        self.latest_id()
        if entity_id != VALUE["entity_id"]:
            raise NotFoundError(f"The forecast has no {level} '{entity_id}'", field="entity_id")
        if period != VALUE["period"]:
            raise InputError(f"The period {period} is outside the forecast's horizon", field="period")
        return dict(VALUE)

    def get(self, forecast_id: str) -> dict[str, Any]:
        if forecast_id == VALUE["forecast_id"]:
            return dict(VALUE)
        if forecast_id != self.latest_id():
            raise NotFoundError(f"There is no forecast '{forecast_id}'", field="forecast_id")
        shared = {name: VALUE[name] for name in ("as_of", "unit", "model_version", "created_at")}
        covered = {"kind": "pipeline", "levels": {"company": 1}, "periods": ["2025Q2"], "totals": [dict(VALUE)]}
        return {"forecast_id": forecast_id, **shared, **covered}


class Clock:
    """A warehouse that knows the world up to `NOW`."""

    def versions(self) -> dict[str, int]:
        return {"leads": 1}

    def cut(self) -> datetime:
        return NOW


class Client:
    """Sends single requests to an application, without a server."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **given)

        return asyncio.run(send())

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.request("GET", path, **given)

    def post(self, path: str, **given: Any) -> httpx.Response:
        return self.request("POST", path, **given)


class Desk:
    """Adjustments that always hold, and stand for themselves."""

    def check(self, answer: Mapping[str, Any], value: float | None, held: Mapping[str, Any]) -> None:
        """Nothing is refused."""

    def adjusted(self, answer: Mapping[str, Any], held: Mapping[str, Any]) -> float | None:
        """The value's own."""
        key = f"{answer['level']}/{answer['entity_id']}/{answer['period']}"
        return held[key]["value"] if key in held else None


@dataclass
class Stand:
    """A service around the stand-ins, and a client of it."""

    engine: Engine
    app: Any
    client: Client
    registry: Registry
    features: Features
    forecasts: Forecasts


def stand(
    folder: Path, *, tasks: Sequence[str] = TASKS, champions: Sequence[str] = TASKS, sample: str | None = "a"
) -> Stand:
    """A service for `tasks` with a champion for each of `champions`."""
    registry, features, forecasts = Registry(), Features(), Forecasts()
    for task in champions:
        bundle = folder / task / "1"
        if task != "forecast":
            write_bundle(bundle, task=task)
        registry.aliases[f"toy-{task}"] = ("1", bundle)
    slots = {}
    for task in tasks:
        loads = {} if task != "forecast" else {"load": None}
        slots[task] = ChampionSlot(task, name=f"toy-{task}", registry=registry, **loads)
    moment = Moment(Settings(), Clock())
    decisions = DecisionRecord(Workspace("toy", folder))
    engine = Engine(
        "toy",
        slots=slots,
        open_features=lambda: features,
        open_forecasts=lambda: forecasts,
        moment=moment,
        override_of=decisions.override_of,
        open_things=OpenThings(lambda _at: {task: [sample] if sample else [] for task in ("lead", "deal")}),
    )
    engine.refresh()
    app = build_app(tasks, title="toy", about="toy")
    app.state.engine, app.state.decisions = engine, decisions
    app.state.jobs = JobStarter(Settings(), Workspace("toy", folder))
    app.state.desk = Desk()
    client = Client(Boundary(RealPath(app), paths=paths_of(app), state=app.state))
    return Stand(engine, app, client, registry, features, forecasts)
