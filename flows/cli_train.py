"""The commands `salience train …`: progress per trial, then the verdict, the figures and the report."""

from __future__ import annotations

import re
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
_DAYS = {"d": 1, "w": 7}
_SPAN = re.compile(r"^(\d+)\s*([dw])$")
_LONGEST_DAYS = 3_650


@app.command("lead")
def train_lead_command(
    trials: TrialsOption = None,
    horizon: HorizonOption = None,
    scoring: ScoringOption = None,
    source: SourceOption = None,
) -> None:
    """Train the lead conversion model."""
    _train("lead", source, trials=trials, horizon_days=horizon_days(horizon), scoring=_whole(scoring))


@app.command("deal")
def train_deal_command(
    trials: TrialsOption = None,
    horizon: HorizonOption = None,
    scoring: ScoringOption = None,
    source: SourceOption = None,
) -> None:
    """Train the deal win model."""
    _train("deal", source, trials=trials, horizon_days=horizon_days(horizon), scoring=_whole(scoring))


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

    if text is None:
        return None
    found = _SPAN.match(text.strip().lower())
    days = int(found.group(1)) * _DAYS[found.group(2)] if found else 0
    if not 1 <= days <= _LONGEST_DAYS:
        raise InputError(
            "The horizon is no span of days or weeks",
            expected=f"such as 90d or 13w, from 1 to {_LONGEST_DAYS} days",
            got=f"'{text}'",
            field="horizon",
        )
    return days


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
