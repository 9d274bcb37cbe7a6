"""The commands `salience monitor` and `salience decide`: what was seen of the models, and what is to be done."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flows.cli_warehouse import SourceOption

app = typer.Typer()

ModelOption = Annotated[str | None, typer.Option("--model", help="lead, deal or forecast; default: all.")]


@app.command()
def monitor(
    since: Annotated[
        str | None, typer.Option(help="Look at every week from this day on, such as 2025-06-01; default: what is due.")
    ] = None,
    model: ModelOption = None,
    source: SourceOption = None,
    act: Annotated[
        bool | None,
        typer.Option("--act/--no-act", help="Train at once where the policy says RETRAIN; default: settings."),
    ] = None,
) -> None:
    """Look at the models week by week, decide by the policy, record and tell it."""
    from common.clock import parse_moment
    from flows.monitor_models import monitor_models
    from flows.monitor_screen import print_looks
    from flows.orchestration import local_orchestration

    _check_model(model)
    begin = None if since is None else parse_moment(since, field="since")
    with local_orchestration():
        found = monitor_models(source=source, since=begin, model=model, act=act)
    print_looks(found)


@app.command()
def decide(
    decision: Annotated[str, typer.Argument(help="RETRAIN, IGNORE, ROLLBACK or HOLD.")],
    because: Annotated[str, typer.Option(help="Why, in a sentence; it is recorded for ever.")] = "",
    model: ModelOption = None,
    look: Annotated[str | None, typer.Option(help="The look it is about; default: the newest.")] = None,
    by: Annotated[str | None, typer.Option(help="Who says so; default: the user of this machine.")] = None,
    source: SourceOption = None,
    trials: Annotated[int | None, typer.Option(min=1, help="With RETRAIN: Optuna trials.")] = None,
) -> None:
    """Decide on what was found: RETRAIN trains and asks the gate, ROLLBACK puts the champion before back."""
    import getpass

    from flows.parts import Platform
    from monitoring.acting import newest_look
    from monitoring.decisions import Recommendation
    from monitoring.decisions import decide as record_decision

    _check_model(model)
    chosen = _recommendation(decision)
    platform = Platform.open(source)
    found = newest_look(platform.workspace, task=model, look_id=look)
    who = by if by is not None else getpass.getuser()
    record_decision(platform.workspace, report_id=found.look_id, decision=chosen, by=who, reason=because)
    typer.echo(f"Recorded: {chosen} for {found.model} {found.version}, the look until {found.end:%Y-%m-%d}, by {who}.")
    if chosen == Recommendation.ROLLBACK:
        from training.promotion import roll_back

        done = roll_back(platform.registry, found.model, why=because, who=who)
        typer.echo(f"{found.model}: version {done.version} is champion again. Running services follow within seconds.")
    if chosen == Recommendation.RETRAIN:
        typer.echo(_retrained(_retrain(found.task, source, found.look_id, trials)))
    _write_page(platform, found.task)


def _retrain(task: str, source: str | None, look_id: str, trials: int | None) -> dict[str, Any]:
    from flows.orchestration import local_orchestration
    from flows.retrain_model import retrain_model

    with local_orchestration():
        return retrain_model(task, source=source, look_id=look_id, trials=trials)


def _retrained(record: dict[str, Any]) -> str:
    if "skipped" in record:
        return f"Not trained: {record['skipped']}."
    return f"{record['model']} version {record['version']}: {record['decision']}. {record['reason']}"


def _write_page(platform: Any, task: str) -> None:
    from flows.monitor_models import monitoring_parts
    from monitoring.model_page import write_model_page

    page = write_model_page(monitoring_parts(platform), task)
    typer.echo(f"Page: {page}")


def _recommendation(text: str) -> Any:
    from common.errors import InputError
    from monitoring.decisions import Recommendation

    known = [str(each) for each in Recommendation]
    if text.upper() not in known:
        raise InputError(f"'{text}' is no decision", expected=f"one of {', '.join(known)}", field="decision")
    return Recommendation(text.upper())


def _check_model(model: str | None) -> None:
    from common.errors import InputError

    if model is not None and model not in ("lead", "deal", "forecast"):
        raise InputError(f"There is no model '{model}'", expected="lead, deal or forecast", field="model")
