"""The commands `salience deal …` (all about one deal, overrides) and `salience deals …` (lists of open deals)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli_warehouse import SourceOption

if TYPE_CHECKING:
    from flows.parts import Platform
    from training.deals.asking import OpenDeals

_SHOW = "show"


class _DealGroup(TyperGroup):
    """`salience deal D-123` is `salience deal show D-123`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Take what is no command for the number of a deal."""
        if args and args[0] not in self.commands:
            args = [_SHOW, *args]
        return super().resolve_command(ctx, args)


deal_app = typer.Typer(
    help="One deal: `salience deal D-123` tells all about it; override its probability.",
    cls=_DealGroup,
    no_args_is_help=True,
)
deals_app = typer.Typer(help="Lists of open deals: at risk, stalled, doubtful, overridden.", no_args_is_help=True)

DealArgument = Annotated[str, typer.Argument(help="Number of the deal.")]
AsOfOption = Annotated[str | None, typer.Option("--as-of", help="Day or moment; default: now.")]
LimitOption = Annotated[int, typer.Option(min=1, help="Most deals to print.")]
ToOption = Annotated[Path | None, typer.Option("--to", help="Also write all of it as JSON into this file.")]


@deal_app.command(_SHOW)
def show(
    deal: DealArgument,
    as_of: AsOfOption = None,
    since: Annotated[
        str | None, typer.Option(help="Earlier day or moment that the change is told from; default: four weeks before.")
    ] = None,
    to: ToOption = None,
    source: SourceOption = None,
) -> None:
    """Tell all about a deal: chances by month, dates, amount, trend and what moved it, reasons, what would help."""
    from flows.deals_screen import print_story
    from serving.decisions import DecisionRecord
    from training.deals.asking import deal_story

    platform = _open(source)
    story = deal_story(
        platform.repository,
        platform.warehouse,
        platform.registry,
        platform.workspace,
        deal_id=deal,
        at=_moment(as_of) or platform.now(),
        since=_moment(since),
    )
    decisions = DecisionRecord(platform.workspace)
    decisions.refresh()
    # What a person decided is about now, not about a moment of the past.
    held = decisions.override_of("deal", deal) if as_of is None else None
    print_story(story, held)
    _write({**story, "override": held}, to)


@deal_app.command("override")
def override(
    deal: DealArgument,
    because: Annotated[str, typer.Option(help="Why, in a sentence that others understand later.")],
    probability: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Your probability of winning it; leave it out with --withdraw."),
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Let the model's word hold again.")] = False,
    who: Annotated[str | None, typer.Option(help="Who says so; default: the user of this machine.")] = None,
    source: SourceOption = None,
) -> None:
    """Put your own win probability beside the model's; both are kept, and later it is told who was nearer."""
    from flows.deals_screen import print_override
    from flows.override_deal import override_deal

    if (probability is None) != withdraw:
        raise typer.BadParameter("give either --probability or --withdraw")
    platform = _open(source)
    print_override(override_deal(platform, deal, probability=probability, because=because, who=who))


@deals_app.command("at-risk")
def at_risk(
    within: Annotated[float, typer.Option(min=0, help="Only deals due within so many days, or overdue.")] = 90.0,
    everything: Annotated[bool, typer.Option("--all", help="All deals, whenever they are due.")] = False,
    limit: LimitOption = 20,
    as_of: AsOfOption = None,
    to: ToOption = None,
    source: SourceOption = None,
) -> None:
    """List open deals by value at risk: expected amount times the probability of not winning it."""
    from training.deals import lists

    columns = {
        "deal": "opportunity_id",
        "stage": "stage",
        "amount": "expected_amount_usd",
        "wins": "win_probability",
        "at risk": "value_at_risk_usd",
        "slips": "slip_probability",
        "why not": "why",
    }
    window = None if everything else within
    _list(
        source,
        as_of,
        to,
        limit,
        [("most value at risk", lambda d: lists.at_risk(d.records, d.columns, within_days=window), columns)],
    )


@deals_app.command("stalled")
def stalled(
    times: Annotated[float, typer.Option(min=1, help="Times the usual days in the stage.")] = 2.0,
    limit: LimitOption = 20,
    as_of: AsOfOption = None,
    to: ToOption = None,
    source: SourceOption = None,
) -> None:
    """List open deals that stay much longer in their stage than is usual in that pipeline."""
    from training.deals import lists

    columns = {
        "deal": "opportunity_id",
        "stage": "stage",
        "days": "days_in_stage",
        "usual": "usual_days_in_stage",
        "times": "times_usual",
        "wins": "win_probability",
        "value": "expected_value_usd",
    }
    _list(source, as_of, to, limit, [("stalled", lambda d: lists.stalled(d.records, d.columns, times=times), columns)])


@deals_app.command("doubtful")
def doubtful(
    below: Annotated[float, typer.Option(min=0, max=1, help="Commits that the model believes less than this.")] = 0.5,
    above: Annotated[float, typer.Option(min=0, max=1, help="Uncalled deals that it believes at least this.")] = 0.6,
    limit: LimitOption = 20,
    as_of: AsOfOption = None,
    to: ToOption = None,
    source: SourceOption = None,
) -> None:
    """List commits that the model does not believe, and quiet deals that it does."""
    from training.deals import lists

    columns = {
        "deal": "opportunity_id",
        "stage": "stage",
        "called": "forecast_category",
        "amount": "expected_amount_usd",
        "wins": "win_probability",
        "why": "why",
    }
    _list(
        source,
        as_of,
        to,
        limit,
        [
            ("commits that the model doubts", lambda d: lists.doubtful(d.records, d.columns, below=below), columns),
            ("quiet deals that it believes in", lambda d: lists.quiet(d.records, d.columns, above=above), columns),
        ],
    )


@deals_app.command("overridden")
def overridden(to: ToOption = None, source: SourceOption = None) -> None:
    """List all overrides with what came of the deals, and tell who was nearer, the persons or the model."""
    from dataclasses import asdict

    from flows.deals_screen import print_overrides
    from flows.override_deal import read_overrides
    from training.deals.overrides import compare_overrides

    platform = _open(source)
    overrides = read_overrides(platform)
    accuracy = compare_overrides(overrides, seed=platform.settings.training.seed)
    print_overrides(overrides, accuracy)
    _write({"overrides": [asdict(one) for one in overrides], "accuracy": asdict(accuracy)}, to)


def _list(
    source: str | None,
    as_of: str | None,
    to: Path | None,
    limit: int,
    lists: list[tuple[str, Callable[[OpenDeals], list[dict[str, Any]]], dict[str, str]]],
) -> None:
    from flows.deals_screen import print_list, print_notes
    from training.deals.asking import open_deals

    platform = _open(source)
    deals = open_deals(
        platform.repository,
        platform.warehouse,
        platform.registry,
        platform.workspace,
        at=_moment(as_of) or platform.now(),
    )
    found = {title: choose(deals) for title, choose, _ in lists}
    for title, _, columns in lists:
        print_list(title, found[title], columns, limit=limit)
    print_notes(deals.notes)
    _write({**found, "notes": list(deals.notes)}, to)


def _open(source: str | None) -> Platform:
    from flows.parts import Platform

    platform = Platform.open(source)
    platform.repository.apply()
    return platform


def _moment(text: str | None) -> datetime | None:
    from warehouse.asking import moment_of

    return None if text is None else moment_of(text)


def _write(values: Any, to: Path | None) -> None:
    if to is not None:
        to.write_text(json.dumps(values, indent=1, default=str) + "\n", encoding="utf-8")
        typer.echo(f"written to {to}")
