"""The commands `salience models …`: versions, what they are, how they compare, and which one answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_warehouse import SourceOption

if TYPE_CHECKING:
    from flows.parts import Platform
    from training.promotion_log import Decision

app = typer.Typer(help="Versions of the models: list, compare, promote, roll back, rebuild.", no_args_is_help=True)

VersionArgument = Annotated[str, typer.Argument(help="A version's number, or an alias: champion, challenger.")]
TaskOption = Annotated[str, typer.Option("--model", help="lead, deal or forecast.")]
ByOption = Annotated[str | None, typer.Option(help="Who says so; default: the user of this machine.")]


@app.callback()
def _models() -> None:
    """Versions of the models: list, compare, promote, roll back, rebuild."""


@app.command("list")
def list_versions(
    model: Annotated[str | None, typer.Option("--model", help="lead, deal or forecast; default: all three.")] = None,
    source: SourceOption = None,
) -> None:
    """List every version: its kind, its aliases, since when and by whom, and how good it was on its test period."""
    from flows.models_screen import print_versions
    from training.history import read_history

    platform = _open(source)
    names = [_name(platform, model)] if model else [_name(platform, task) for task in _TASKS]
    history = read_history(platform.registry, names)
    print_versions({name: platform.registry.versions(name) for name in names}, history)


@app.command()
def show(version: VersionArgument, model: TaskOption = "lead", source: SourceOption = None) -> None:
    """Show all of a version: what it was trained on, its figures beside the baselines, decisions about it."""
    from flows.models_screen import print_version
    from training.history import read_history

    platform = _open(source)
    name = _name(platform, model)
    found = platform.registry.version(name, _number(platform, name, version))
    records = {record.version: record for record in platform.registry.versions(name)}
    print_version(records[found.version], found.bundle, read_history(platform.registry, [name]))


@app.command()
def compare(
    first: VersionArgument, second: VersionArgument, model: TaskOption = "lead", source: SourceOption = None
) -> None:
    """Ask two versions about the newest rows that neither has seen; differences are the second less the first."""
    from flows.models_screen import print_comparison, print_forecast_comparison

    platform = _open(source)
    name = _name(platform, model)
    one, other = (platform.registry.version(name, _number(platform, name, each)) for each in (first, second))
    seed = platform.settings.training.seed
    if model == "forecast":
        from training.forecast.gate import compare_bundles

        print_forecast_comparison(name, (one.version, other.version), compare_bundles(one, other, seed=seed))
        return
    from flows.cli_warehouse import _with_bar
    from flows.display import report_progress
    from training.comparison import compare_versions, newest_rows
    from training.rebuild import RECIPES

    platform.repository.apply()
    rows = _with_bar(
        "Newest rows",
        lambda: newest_rows(
            RECIPES[model](platform.source),
            platform.repository,
            platform.warehouse,
            (one, other),
            settings=platform.settings,
            progress=report_progress,
        ),
    )
    print_comparison(name, compare_versions(one, other, rows, limits=platform.settings.gate, seed=seed))


@app.command()
def promote(
    version: VersionArgument,
    because: Annotated[str, typer.Option(help="Why, in a sentence; it is recorded for ever.")] = "",
    model: TaskOption = "lead",
    by: ByOption = None,
    source: SourceOption = None,
) -> None:
    """Make a version champion by hand, without asking the gate; who and why is recorded."""
    from training.promotion import appoint

    platform = _open(source)
    name = _name(platform, model)
    decision = appoint(platform.registry, name, _number(platform, name, version), why=because, who=by)
    _put_in_use(platform, model, decision)


@app.command()
def rollback(
    model: TaskOption = "lead",
    because: Annotated[str, typer.Option(help="Why, in a sentence.")] = "",
    by: ByOption = None,
    source: SourceOption = None,
) -> None:
    """Put the champion before the present one back, as the log tells it; once more goes back one further."""
    from training.promotion import roll_back

    platform = _open(source)
    decision = roll_back(platform.registry, _name(platform, model), why=because, who=by)
    _put_in_use(platform, model, decision)


@app.command()
def history(
    model: Annotated[str | None, typer.Option("--model", help="lead, deal or forecast; default: all three.")] = None,
    source: SourceOption = None,
) -> None:
    """Tell every decision: who, when, what, why; after checking that no line was changed or cut off."""
    from flows.models_screen import print_history
    from training.history import read_history

    platform = _open(source)
    names = [_name(platform, model)] if model else [_name(platform, task) for task in _TASKS]
    print_history(read_history(platform.registry, names))


@app.command()
def rebuild(version: VersionArgument, model: TaskOption = "lead", source: SourceOption = None) -> None:
    """Train a version again from its record and say whether the same model came out; exit 1 if not."""
    from common.errors import InputError
    from flows.cli_warehouse import _with_bar
    from flows.display import report_progress
    from flows.models_screen import print_rebuilt
    from training.rebuild import RECIPES
    from training.rebuild import rebuild as repeat

    if model not in RECIPES:
        raise InputError(
            f"A {model} keeps no record to be repeated from", expected=f"--model {' or '.join(RECIPES)}", field="model"
        )
    platform = _open(source)
    name = _name(platform, model)
    found = platform.registry.version(name, _number(platform, name, version))
    rebuilt = _with_bar(
        f"Rebuilding {name} {found.version}",
        lambda: repeat(
            found,
            platform.warehouse,
            platform.source,
            workspace=platform.workspace,
            settings=platform.settings,
            progress=report_progress,
        ),
    )
    print_rebuilt(name, rebuilt)
    if not rebuilt.is_same:
        raise typer.Exit(1)


_TASKS = ("lead", "deal", "forecast")


def _open(source: str | None) -> Platform:
    from flows.parts import Platform

    return Platform.open(source)


def _name(platform: Platform, task: str) -> str:
    from common.errors import InputError

    if task not in _TASKS:
        raise InputError(f"There is no model '{task}'", expected=f"--model {', '.join(_TASKS)}", field="model")
    return platform.workspace.model_name(task)


def _number(platform: Platform, name: str, version: str) -> str:
    """A version's number; of an alias, the number of the version behind it."""
    from common.errors import NotFoundError

    if version.isdigit():
        return version
    found = platform.registry.model(name, version)
    if found is None:
        raise NotFoundError(
            f"Model '{name}' has no version or alias '{version}'",
            next_step="look at its versions: salience models list",
        )
    return found.version


def _put_in_use(platform: Platform, task: str, decision: Decision) -> None:
    """Say what was done; of a forecast, answer with the version's own forecast from now on."""
    from flows.models_screen import print_decision

    if task == "forecast":
        from training.forecast.store import Forecast, ForecastStore

        bundle = platform.registry.version(decision.name, decision.version).bundle
        ForecastStore(platform.workspace.forecasts).save(Forecast.read(bundle))
    print_decision(decision)
