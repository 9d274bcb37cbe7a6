"""The whole loop: from a CRM's history to answered requests, each step reused while it is still valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import Task, flow

from common.errors import SourceError, TooLittleDataError
from flows.ask_services import ask_services
from flows.build_features import build_history, put_online
from flows.caching import StepResult, file_fingerprint, fingerprint, run_step
from flows.display import StepLine, StepList, make_console
from flows.ingest_source import load_files
from flows.monitor_models import watch_models
from flows.parts import Platform, code_fingerprint
from flows.score_open import score_everything_open
from flows.screen import print_screen
from flows.simulate_crm import SIMULATED, simulate_files
from flows.train_model import TASKS

SHORT_STUDY = 3
"""Trials of each study, one of each kind of model. `salience train` makes those of the settings."""
WORLD = {"size": "small", "years": 3, "scenario": "steady"}


@dataclass
class Demo:
    """One run of the loop and what its steps have given so far."""

    platform: Platform
    trials: int | None
    steps: StepList
    code: str = field(default_factory=code_fingerprint)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the source and its workspace."""
        return self.platform.workspace.name

    def run(self, title: str, step: Task[..., dict[str, Any]], *inputs: object, **parameters: Any) -> dict[str, Any]:
        """Run one step, or reuse its record, and keep it under the task's name."""
        with self.steps.step(title) as line:
            result = run_step(
                step,
                receipts=self.platform.workspace.receipts,
                key=fingerprint(self.code, step.name, inputs, parameters),
                **parameters,
            )
            self._keep(step.name, result, line)
        return result.value

    def _keep(self, name: str, result: StepResult, line: StepLine) -> None:
        self.records[name] = result.value
        line.text, line.is_reused = summarize(name, result.value), result.is_reused
        if result.is_reused:
            self.reused.append(name)


@flow(name="run-demo")
def run_demo(source: str = SIMULATED, data: Path | None = None, trials: int | None = None) -> dict[str, Any]:
    """Run the whole loop and print what came of it.

    Args:
        source: `simulated`, or a public set with a shipped mapping.
        data: Folder of the source's files; the simulated world makes its own.
        trials: Optuna trials per model; unset: a short study, for a first look.

    Raises:
        SourceError: if the source is unknown, or its folder is missing or empty.
    """
    platform = Platform.open(source)
    models = {
        "lead": platform.source.lead is not None,
        "deal": platform.source.deal is not None,
        "forecast": platform.source.forecast is not None,
    }
    console = make_console()
    classifiers = models["lead"] or models["deal"]
    count = 2 + (source == SIMULATED) + 4 * classifiers + sum(models.values())
    demo = Demo(platform=platform, trials=trials or SHORT_STUDY, steps=StepList(console, count))
    demo.left_out = {model: "the source has no tables for it" for model, wanted in models.items() if not wanted}
    _load(demo, data)
    _learn(demo, models)
    _use(demo, classifiers=classifiers)
    print_screen(console, demo)
    return demo.records


def _load(demo: Demo, data: Path | None) -> None:
    if demo.name == SIMULATED and data is None:
        seed = demo.platform.settings.training.seed
        data = Path(demo.run("Simulate a CRM", simulate_files, **WORLD, seed=seed)["folder"])
    if data is None:
        raise SourceError(f"Source '{demo.name}' needs a folder of files", next_step="give `data`")
    demo.run("Load the warehouse", load_files, file_fingerprint(data), source=demo.name, data=data.absolute())


def _learn(demo: Demo, models: Mapping[str, bool]) -> None:
    state = _state(demo)
    if models["lead"] or models["deal"]:
        demo.run("Build features in Feast", build_history, state, source=demo.name)
    for model, wanted in models.items():
        if not wanted:
            continue
        settings = demo.platform.settings.training.model_dump()
        title = f"Train the {model} model"
        try:
            upstream = _champions(demo)["deal"] if model == "forecast" else None
            demo.run(title, TASKS[model], state, settings, upstream, source=demo.name, trials=demo.trials)
        except TooLittleDataError as error:
            demo.left_out[model] = error.message


def _use(demo: Demo, *, classifiers: bool) -> None:
    state = (_state(demo), _champions(demo))
    if classifiers:
        demo.run("Put features online", put_online, state, source=demo.name)
        demo.run("Score everything open", score_everything_open, state, source=demo.name)
        demo.run("Look at the models", watch_models, state, source=demo.name, first=1)
    with demo.steps.step("Ask the services over HTTP") as line:
        demo.records["ask"] = ask_services(demo.name, demo.records)
        line.text = summarize("ask", demo.records["ask"])


def _state(demo: Demo) -> list[str]:
    return [demo.platform.warehouse.fingerprint(), demo.platform.now().isoformat()]


def _champions(demo: Demo) -> dict[str, str | None]:
    """Version of each champion that the steps so far have left; a model trained on other data is another one."""
    names = {model: demo.platform.workspace.model_name(model) for model in TASKS}
    found = {model: demo.platform.registry.champion(name) for model, name in names.items()}
    return {model: champion.version if champion else None for model, champion in found.items()}


def summarize(step: str, record: Mapping[str, Any]) -> str:
    """One line on what a step gave."""
    if step == "simulate":
        rows = record["rows"]
        return f"{rows['leads']:,} lead versions, {rows['opportunities']:,} deal versions, {sum(rows.values()):,} rows"
    if step == "ingest":
        tables = record["tables"].values()
        return ", ".join(
            f"{sum(table[what] for table in tables):,} {what}" for what in ("loaded", "known", "quarantined")
        )
    if step == "build-features":
        rows = ", ".join(f"{count:,} {what} rows" for what, count in record["rows"].items())
        return f"{rows}, {len(record['views'])} views"
    if step == "materialize":
        return f"{sum(record['entities'].values()):,} rows in {len(record['entities'])} views"
    if step == "score-open":
        return ", ".join(f"{batch['count']:,} {task}s" for task, batch in record["scored"].items())
    if step == "monitor":
        return ", ".join(f"{task}: {looks[-1]['verdict']}" for task, looks in record["models"].items() if looks)
    if step == "ask":
        return f"{len(record['answers'])} asked by id, all answered"
    return f"version {record['version']}, {'champion' if record['decision']['promoted'] else 'kept out by the gate'}"
