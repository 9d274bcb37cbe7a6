"""The commands `salience forecast …`: the forecast, overrides, scenarios, the backtest."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from flows.cli_warehouse import SourceOption

if TYPE_CHECKING:
    from flows.parts import Platform

app = typer.Typer(
    help="What revenue to expect: `salience forecast --period 2026Q1`; overrides, scenarios, the backtest.",
    invoke_without_command=True,
)
scenarios_app = typer.Typer(
    help="What-if: optimistic, realistic, pessimistic, or your own from a file, side by side.",
    invoke_without_command=True,
)
app.add_typer(scenarios_app, name="scenarios")

PeriodOption = Annotated[str | None, typer.Option("--period", help="A month, quarter or year: 2026-02, 2026Q1, 2026.")]
LevelOption = Annotated[str | None, typer.Option("--level", help="company, region, team or rep.")]
EntityOption = Annotated[str | None, typer.Option("--entity", help="Which region, team or rep.")]
AsOfOption = Annotated[str | None, typer.Option("--as-of", help="Day or moment; default: now.")]
ToOption = Annotated[Path | None, typer.Option("--to", help="Also write all of it as JSON into this file.")]
WhoOption = Annotated[str | None, typer.Option(help="Who says so; default: the user of this machine.")]
_SPAN = re.compile(r"^(\d+)\s*([dw])$")
_NEVER = "none"
T = TypeVar("T")


@app.callback()
def show(
    context: typer.Context,
    period: PeriodOption = None,
    level: LevelOption = None,
    entity: EntityOption = None,
    as_of: AsOfOption = None,
    since: Annotated[
        str, typer.Option(help="Tell why it changed since: a span such as 7d or 2w, a day, or none.")
    ] = "7d",
    again: Annotated[
        bool, typer.Option("--again", help="Compute a kept forecast again from what was known then, and compare.")
    ] = False,
    to: ToOption = None,
    source: SourceOption = None,
) -> None:
    """Forecast revenue for a period, with its range, parts, what stands beside it, the gap, and why it changed."""
    if context.invoked_subcommand is not None:
        return
    from flows.forecast_screen import print_forecast, print_forecast_list, print_same
    from flows.override_forecast import read_forecast_overrides
    from training.forecast.history import COMPANY
    from training.forecast.story import forecast_list, forecast_story

    _require(period, "--period", "2026Q1")
    platform = _open(source)
    at = _moment(platform, as_of)
    overrides = read_forecast_overrides(platform)
    options: dict[str, Any] = {"period": period, "level": level, "at": at, "overrides": overrides}
    if entity is None and level not in (None, COMPANY):
        found = _work(platform, "Forecast", lambda forecaster: forecast_list(forecaster, **options))
        print_forecast_list(found)
    else:
        earlier = _since(since, at)
        found = _work(
            platform,
            "Forecast",
            lambda forecaster: forecast_story(forecaster, entity_id=entity, since=earlier, **options),
        )
        print_forecast(found)
    if again:
        from flows.override_forecast import same_again

        print_same(_work(platform, "Compute it again", lambda forecaster: same_again(forecaster, at)))
    _write(found, to)


@app.command("override")
def override(
    because: Annotated[str, typer.Option(help="Why, in a sentence that others understand later.")],
    period: PeriodOption = None,
    level: Annotated[str, typer.Option("--level", help="company, region, team or rep.")] = "company",
    entity: EntityOption = None,
    value: Annotated[float | None, typer.Option(help="Your figure; leave it out with --withdraw.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Let the model's word hold again.")] = False,
    who: WhoOption = None,
    source: SourceOption = None,
) -> None:
    """Put your own figure beside the model's; it is spread down and summed up so that everything still adds up."""
    from flows.forecast_screen import print_forecast_override
    from flows.override_forecast import override_forecast

    _require(period, "--period", "2026Q1")
    if (value is None) != withdraw:
        raise typer.BadParameter("give either --value or --withdraw")
    platform = _open(source)
    print_forecast_override(
        _work(
            platform,
            "Override",
            lambda forecaster: override_forecast(
                platform,
                forecaster,
                level=level,
                entity_id=entity,
                period=str(period),
                value=value,
                because=because,
                who=who,
            ),
        )
    )


@app.command("overrides")
def overrides_command(to: ToOption = None, source: SourceOption = None) -> None:
    """List all overrides with what came, and tell who was nearer, the persons or the model."""
    from flows.forecast_screen import print_forecast_overrides
    from flows.override_forecast import judged_overrides

    platform = _open(source)
    found = _work(platform, "Overrides", lambda forecaster: judged_overrides(platform, forecaster))
    print_forecast_overrides(found)
    _write(found, to)


@scenarios_app.callback()
def scenarios(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Option("--file", help="YAML file of your own scenarios; default: the built-in three.")
    ] = None,
    period: PeriodOption = None,
    level: Annotated[str, typer.Option("--level", help="company, region, team or rep.")] = "company",
    entity: EntityOption = None,
    as_of: AsOfOption = None,
    to: ToOption = None,
    source: SourceOption = None,
) -> None:
    """Compare scenarios: what each expects, how likely it reaches the quota, what each lever alone is worth."""
    if context.invoked_subcommand is not None:
        return
    import getpass

    from flows.forecast_screen import print_scenarios
    from training.forecast.scenario_file import read_scenarios
    from training.forecast.scenario_store import ScenarioStore, compute_comparison, new_comparison

    _require(period, "--period", "2026Q1")
    own = None if file is None else read_scenarios(file)
    platform = _open(source)
    at = _moment(platform, as_of)
    store = ScenarioStore(platform.workspace)

    def work(forecaster: Any) -> dict[str, Any]:
        from flows.display import report_progress

        asked = new_comparison(
            forecaster, own, period=str(period), level=level, entity_id=entity, at=at, by=getpass.getuser()
        )
        kept = store.find(asked["scenario_id"])
        if kept is not None and kept["status"] == "done":
            return {**kept, "is_kept": True}
        done = compute_comparison(forecaster, asked, progress=report_progress)
        store.save(done)
        return done

    found = _work(platform, "Compare scenarios", work)
    print_scenarios(found)
    _write(found, to)


@scenarios_app.command("show")
def show_scenarios(
    scenario_id: Annotated[str, typer.Argument(help="Id of a comparison.")],
    again: Annotated[
        bool, typer.Option("--again", help="Compute it again from its inputs, and say whether the same comes out.")
    ] = False,
    to: ToOption = None,
    source: SourceOption = None,
) -> None:
    """Show a comparison that was made before."""
    from flows.forecast_screen import print_same, print_scenarios
    from training.forecast.scenario_store import ScenarioStore, changed_inputs, compute_comparison

    platform = _open(source)
    found = ScenarioStore(platform.workspace).get(scenario_id)
    print_scenarios(found)
    if again:

        def work(forecaster: Any) -> dict[str, Any]:
            anew = compute_comparison(forecaster, found)
            is_same = anew["digest"] == found["digest"]
            changed = [] if is_same else changed_inputs(forecaster, found, anew)
            return {"is_same": is_same, "what": f"comparison {scenario_id}", "differences": changed}

        print_same(_work(platform, "Compute it again", work))
    _write(found, to)


@scenarios_app.command("list")
def list_scenarios(source: SourceOption = None) -> None:
    """List the comparisons that are kept, the newest first."""
    from flows.forecast_screen import print_scenario_list
    from training.forecast.scenario_store import ScenarioStore

    store = ScenarioStore(_open(source).workspace)
    print_scenario_list([store.get(scenario_id) for scenario_id in store.ids()])


@app.command("backtest")
def backtest(
    origins: Annotated[int, typer.Option(min=1, max=40, help="Most rolling origins (quarters).")] = 12,
    as_of: AsOfOption = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The report, an .html file; default: in the workspace.")
    ] = None,
    source: SourceOption = None,
) -> None:
    """Judge the forecast on rolling origins, each from what was known then, beside every naive answer."""
    from flows.backtest_forecast import backtest_forecast
    from flows.forecast_screen import print_backtest

    platform = _open(source)
    at = _moment(platform, as_of)
    found = _work(
        platform, "Backtest", lambda forecaster: backtest_forecast(platform, forecaster, at=at, origins=origins, to=to)
    )
    print_backtest(found)


def _work(platform: Platform, title: str, work: Callable[[Any], T]) -> T:
    """Do something with the workspace's forecasts under a bar."""
    from flows.display import make_console, report_progress, step_bar
    from training.forecast.asking import Forecaster

    console = make_console()
    with step_bar(console, title) if console.is_terminal else nullcontext():
        forecaster = Forecaster(
            platform.workspace,
            platform.warehouse,
            repository=platform.repository,
            registry=platform.registry,
            protocol=platform.source.forecast,
            settings=platform.settings,
            progress=report_progress,
        )
        return work(forecaster)


def _open(source: str | None) -> Platform:
    from flows.parts import Platform

    platform = Platform.open(source)
    platform.repository.apply()
    return platform


def _moment(platform: Platform, text: str | None) -> datetime:
    """The moment asked for; without one, now, or the newest that anything is known of."""
    from warehouse.asking import moment_of
    from warehouse.present import known_until

    return known_until(platform.settings, platform.warehouse) if text is None else moment_of(text)


def _since(text: str, at: datetime) -> datetime | None:
    """The moment of a span before `at`, or of a day; None for `none`.

    Raises:
        InputError: if it is none of them, or not before `at`.
    """
    from common.errors import InputError
    from warehouse.asking import moment_of

    if text == _NEVER:
        return None
    span = _SPAN.match(text.strip())
    earlier = at - timedelta(days=int(span[1]) * (7 if span[2] == "w" else 1)) if span else moment_of(text)
    if earlier >= at:
        raise InputError(
            "The change is told from an earlier moment",
            expected=f"a span such as 7d or 2w, or a day before {at:%Y-%m-%d}",
            got=text,
            field="since",
        )
    return earlier


def _require(value: str | None, name: str, example: str) -> None:
    if value is None:
        raise typer.BadParameter(f"give {name}, such as {example}")


def _write(values: Any, to: Path | None) -> None:
    if to is not None:
        from common.whole_files import write_whole

        write_whole(to, json.dumps(values, indent=1, default=str) + "\n")
        typer.echo(f"written to {to}")
