"""The command line: one sub-command per flow. Heavy libraries are imported when a command runs, not before."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows.cli_deals import deal_app, deals_app
from flows.cli_features import app as features_app
from flows.cli_forecast import app as forecast_app
from flows.cli_models import app as models_app
from flows.cli_monitor import app as monitor_app
from flows.cli_probe import app as probe_app
from flows.cli_serving import app as keys_app
from flows.cli_train import TrialsOption
from flows.cli_train import app as train_app
from flows.cli_warehouse import SourceOption, check_files
from flows.cli_warehouse import app as warehouse_app

app = typer.Typer(
    name="salience",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(warehouse_app)
app.add_typer(monitor_app)
app.add_typer(train_app, name="train")
app.add_typer(features_app, name="features")
app.add_typer(models_app, name="models")
app.add_typer(probe_app, name="probe")
app.add_typer(deal_app, name="deal")
app.add_typer(deals_app, name="deals")
app.add_typer(forecast_app, name="forecast")
app.add_typer(keys_app, name="keys")

INTERRUPTED, USAGE = 130, 2


@app.callback()
def _prepare() -> None:
    """Lead, deal and revenue-forecast models for sales teams."""
    from common.logs import configure_logging
    from common.settings import Settings
    from flows.parts import prepare_environment

    settings = Settings()
    prepare_environment(settings)
    configure_logging(settings.log_level)


@app.command()
def demo(
    source: Annotated[str, typer.Option(help="simulated, or a public set with a shipped mapping.")] = "simulated",
    data: Annotated[
        Path | None, typer.Option(help="Folder of the source's files; the simulated world makes its own.")
    ] = None,
    trials: TrialsOption = None,
) -> None:
    """Run the whole loop, from a CRM's history to answered requests, and say what came of it."""
    if source != "simulated":
        check_files(source, data)
    from flows.orchestration import local_orchestration
    from flows.run_demo import run_demo

    with local_orchestration():
        run_demo(source=source, data=data, trials=trials)


@app.command()
def score(
    what: Annotated[Literal["leads", "deals", "all"], typer.Argument(help="leads, deals, or all.")] = "all",
    source: SourceOption = None,
) -> None:
    """Score every open lead and deal with the champions."""
    from flows.orchestration import local_orchestration
    from flows.score_open import MODELS, score_open

    models = MODELS if what == "all" else (what.removesuffix("s"),)
    with local_orchestration():
        _show(score_open(source=source, models=models))


@app.command()
def drift(source: SourceOption = None) -> None:
    """Compare the newest weeks with what the champions learned from, report, and record a decision."""
    from flows.orchestration import local_orchestration
    from flows.report_drift import report_drift

    with local_orchestration():
        _show(report_drift(source=source))


@app.command()
def serve(
    source: SourceOption = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="First port to try.")] = None,
) -> None:
    """Serve lead, deal and forecast answers until Ctrl-C."""
    from common.settings import Settings
    from common.workspace import Workspace
    from serving.run import serve as run_services

    settings = Settings()
    raise typer.Exit(run_services(settings, Workspace.of(settings, source), port=port, say=typer.echo))


@app.command()
def ui(source: SourceOption = None) -> None:
    """Show Prefect's, MLflow's and Evidently's pages on local ports until Ctrl-C."""
    from common.settings import Settings
    from common.workspace import Workspace
    from monitoring.ui import run_ui

    settings = Settings()
    raise typer.Exit(run_ui(settings, Workspace.of(settings, source), say=typer.echo))


def _show(record: dict[str, Any]) -> None:
    from flows.screen import print_record

    print_record(record)


def main() -> None:
    """Entry point: run a command; print an error of ours as a sentence and exit with its code."""
    from common.errors import SalienceError

    try:
        code = app(standalone_mode=False)
    except SalienceError as error:
        typer.echo(f"{error.title}: {error.message}", err=True)
        code = error.exit_code
    except typer.Abort:
        code = INTERRUPTED
    except typer.TyperException as error:
        typer.echo(f"{error.format_message()} Next: salience --help", err=True)
        code = USAGE
    if code == INTERRUPTED:
        typer.echo("\nInterrupted. What was finished is kept; the same command continues from there.", err=True)
    _leave(code if isinstance(code, int) else 0)


def _leave(code: int) -> None:
    """Exit; after an error at once, because DuckDB's binding would print pages about what the error still holds."""
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        os._exit(code)
    sys.exit(0)
