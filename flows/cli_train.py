"""The commands `salience train …`: progress per trial, then the verdict, the figures and the report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_warehouse import SourceOption

app = typer.Typer(help="Train, tune, calibrate and register a model.", no_args_is_help=True)

TrialsOption = Annotated[int | None, typer.Option("--trials", min=1, help="Optuna trials.")]
HorizonOption = Annotated[
    str | None,
    typer.Option("--horizon", help="Time within which the outcome counts: 90d or 13w; default: the source's."),
]
ScoringOption = Annotated[
    Path | None,
    typer.Option("--scoring", help="A scoring model of your own (examples/scoring): points by rules, or features."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Processes that make trials of one study; they share the threads."),
]
BudgetOption = Annotated[
    str | None, typer.Option("--time-budget", help="Time after which the study ends, such as 90s, 10m or 1h.")
]
_DAYS = {"d": 1.0, "w": 7.0}
_MINUTES = {"s": 1.0 / 60.0, "m": 1.0, "h": 60.0}
_SPAN = re.compile(r"^(\d+)\s*([a-z])$")
_LONGEST_DAYS, _LONGEST_MINUTES = 3_650, 7 * 24 * 60


@app.command("lead")
def train_lead_command(
    trials: TrialsOption = None,
    horizon: HorizonOption = None,
    scoring: ScoringOption = None,
    workers: WorkersOption = None,
    time_budget: BudgetOption = None,
    source: SourceOption = None,
) -> None:
    """Train the lead conversion model."""
    days, minutes = horizon_days(horizon), budget_minutes(time_budget)
    own = _whole(scoring)
    _train("lead", source, trials=trials, horizon_days=days, scoring=own, workers=workers, budget_minutes=minutes)


@app.command("deal")
def train_deal_command(
    trials: TrialsOption = None,
    horizon: HorizonOption = None,
    scoring: ScoringOption = None,
    workers: WorkersOption = None,
    time_budget: BudgetOption = None,
    source: SourceOption = None,
) -> None:
    """Train the deal win model."""
    days, minutes = horizon_days(horizon), budget_minutes(time_budget)
    own = _whole(scoring)
    _train("deal", source, trials=trials, horizon_days=days, scoring=own, workers=workers, budget_minutes=minutes)


@app.command("forecast")
def train_forecast_command(trials: TrialsOption = None, source: SourceOption = None) -> None:
    """Train the revenue forecast."""
    _train("forecast", source, trials=trials)


def horizon_days(text: str | None) -> int | None:
    """Days of a span such as `90d` or `13w`.

    Raises:
        InputError: if it is none.

    Example:
        >>> horizon_days("13w")
        91
    """
    from common.errors import InputError

    found = _amount(text, _DAYS)
    if text is None:
        return None
    if found is None or not 1 <= found <= _LONGEST_DAYS:
        raise InputError(
            "The horizon is no span of days or weeks",
            expected=f"such as 90d or 13w, from 1 to {_LONGEST_DAYS} days",
            got=f"'{text}'",
            field="horizon",
        )
    return int(found)


def budget_minutes(text: str | None) -> float | None:
    """Minutes of a span such as `90s`, `10m` or `1h`.

    Raises:
        InputError: if it is none.

    Example:
        >>> budget_minutes("90s")
        1.5
    """
    from common.errors import InputError

    found = _amount(text, _MINUTES)
    if text is None:
        return None
    if found is None or not 0.0 < found <= _LONGEST_MINUTES:
        raise InputError(
            "The time budget is no span of seconds, minutes or hours",
            expected="such as 90s, 10m or 1h, up to a week",
            got=f"'{text}'",
            field="time-budget",
        )
    return found


def _amount(text: str | None, units: Mapping[str, float]) -> float | None:
    found = _SPAN.match((text or "").strip().lower())
    return int(found.group(1)) * units[found.group(2)] if found and found.group(2) in units else None


def _whole(path: Path | None) -> Path | None:
    """The file's absolute path, read once before anything is started, so that a fault is told at once."""
    if path is None:
        return None
    from training.scoring.scoring_file import read_scoring_file

    read_scoring_file(path)
    return path.absolute()


def _train(model: str, source: str | None, **options: Any) -> None:
    from flows.display import make_console, step_shown
    from flows.orchestration import local_orchestration
    from flows.train_model import FLOWS
    from flows.train_screen import print_training

    console = make_console()
    with local_orchestration(), step_shown(console, f"Training the {model} model"):
        record = FLOWS[model](source=source, **options)
    print_training(console, record)
