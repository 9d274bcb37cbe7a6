"""What `salience forecast …` prints: one forecast, a level's list, and the backtest's verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from flows.display import make_console
from flows.forecast_what_if_screen import (
    print_forecast_override,
    print_forecast_overrides,
    print_scenario_list,
    print_scenarios,
)

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "print_backtest",
    "print_forecast",
    "print_forecast_list",
    "print_forecast_override",
    "print_forecast_overrides",
    "print_same",
    "print_scenario_list",
    "print_scenarios",
]

_BESIDE = {
    "commit": "the reps' commit",
    "stage_weighted_pipeline": "stage-weighted pipeline",
    "seasonal_naive": "seasonal naive (booked so far, else as a year ago)",
    "last_year_mean": "mean of the last twelve months",
}


def print_forecast(story: Mapping[str, Any]) -> None:
    """All about one entity and period, as `training.forecast.story.forecast_story` tells it."""
    console, answer = make_console(), story["answer"]
    _print_head(console, story, answer)
    _print_parts(console, story, answer)
    _print_beside(console, story, answer)
    if story["gap"] is not None:
        _print_gap(console, story["gap"])
    if story["change"] is not None:
        _print_change(console, story["change"])
    _print_notes(console, story["notes"])


def _print_head(console: Console, story: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    whose = (
        answer["entity_id"] if answer["level"] == answer["entity_id"] else f"{answer['level']} {answer['entity_id']}"
    )
    made = "as kept" if story["is_stored"] else "computed now from what was known then"
    console.print(
        f"[bold]{escape(whose)}[/]  {answer['period']}  as of {answer['as_of'][:16].replace('T', ' ')} UTC ({made}), "
        f"{escape(answer['unit'])}",
        soft_wrap=True,
    )
    ranges = answer["intervals"]
    console.print(f"  median   [bold]{_amount(answer['median'])}[/]")
    for percent in ("80", "95"):
        ends = ranges[percent]
        console.print(f"  {percent} %     {_amount(ends['lower'])} to {_amount(ends['upper'])}")
    console.print(f"  expected {_amount(answer['expected'])}  (the mean; this one adds up over levels and periods)")
    if story["adjusted"] is not None:
        console.print(f"  [bold]with overrides {_amount(story['adjusted'])}[/]  (adds up too; the model's stays)")
    for one in story["overrides"]:
        if (one["level"], one["entity_id"], one["period"]) == tuple(
            answer[name] for name in ("level", "entity_id", "period")
        ):
            console.print(
                f"  overridden by {escape(one['who'])} on {one['at'][:10]}: {escape(one['because'])}", soft_wrap=True
            )


def _print_parts(console: Console, story: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    table = _table("made of", ("", "expected"))
    parts = answer["components"]
    if all(value is None for name, value in parts.items() if name != "closed"):
        # Series are forecast as they are; they have no parts.
        return
    table.add_row("closed so far", _amount(parts.get("closed")))
    table.add_row("open deals", _amount(parts.get("open")))
    for stage, amount in sorted(story["stages"].items(), key=lambda item: -item[1]):
        table.add_row(f"  in {escape(stage)}", _amount(amount))
    if story["slipping_in"] is not None:
        table.add_row("  of these slipping in from other periods", _amount(story["slipping_in"]))
    table.add_row("business not yet created", _amount(parts.get("new")))
    table.add_row("renewals", _amount(parts.get("renewal")))
    if story["slipping_out"] is not None:
        table.add_row("not in it: due in it, but expected later", _amount(story["slipping_out"]))
    console.print()
    console.print(table)


def _print_beside(console: Console, story: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    table = _table("beside it", ("", "says", "forecast less this"))
    quota = answer["baselines"].get("quota")
    chance = story["quota_probability"]
    reached = "" if chance is None else f" (reached with {chance:.0%})"
    if "quota" in answer["baselines"]:
        table.add_row(f"quota{reached}", _amount(quota), _less(answer["expected"], quota))
    for name, value in answer["baselines"].items():
        if name != "quota":
            table.add_row(_BESIDE.get(name, name.replace("_", " ")), _amount(value), _less(answer["expected"], value))
    if story["last_year"] is not None:
        table.add_row(
            "booked in the same period a year ago",
            _amount(story["last_year"]),
            _less(answer["expected"], story["last_year"]),
        )
    console.print()
    console.print(table)


def _print_gap(console: Console, gap: Mapping[str, Any]) -> None:
    rates = gap["rates"]
    console.print(f"\n[bold]Gap[/]  {escape(gap['remark'])}", soft_wrap=True)
    if gap["needed_even_usd"] is not None:
        often = (
            ""
            if gap["times_usual"] is None
            else f", {gap['times_usual']:.1f} times what is usually created in that time"
        )
        console.print(f"  evenly until the end: about {gap['needed_deals']:,} deals{often}", soft_wrap=True)
    cover = "" if gap["coverage"] is None else f", {gap['coverage']:.1f} times what of the quota is not booked yet"
    console.print(f"  open pipeline {_amount(gap['open_pipeline_usd'])}{cover}", soft_wrap=True)
    cycle = "–" if rates["median_cycle_days"] is None else f"{rates['median_cycle_days']} days"
    console.print(
        f"  known then of {escape(rates['based_on'])}: {rates['deals']:,} deals of two years, {rates['win_rate']:.0%} "
        f"of their amount won, half of that within {cycle}; mean amount {_amount(rates['mean_amount_usd'])}, booked "
        f"{rates['booked_over_entered']:.2f} of it; {rates['created_per_month']:.1f} deals created a month",
        soft_wrap=True,
    )
    if gap["win_rate_by_stage"]:
        told = ", ".join(f"{stage} {rate:.0%}" for stage, rate in sorted(gap["win_rate_by_stage"].items()))
        console.print(f"  won, of all seen in a stage: {escape(told)}", soft_wrap=True)


def _print_change(console: Console, change: Mapping[str, Any]) -> None:
    console.print(
        f"\n[bold]Since {change['since'][:10]}[/]  {_amount(change['before'])} → {_amount(change['after'])} "
        f"({change['after'] - change['before']:+,.0f}), of which"
    )
    table = _table("", ("", "change", "deals", "most of it"))
    for step in change["steps"]:
        told = "; ".join(f"{top['opportunity_id']} {top['change']:+,.0f} ({top['what']})" for top in step["top"][:2])
        table.add_row(escape(step["step"]), f"{step['change']:+,.2f}", str(step["deals"] or ""), escape(told))
    total = sum(round(100 * step["change"]) for step in change["steps"]) / 100
    table.add_row("[bold]together[/]", f"[bold]{total:+,.2f}[/]", "", "")
    console.print(table)


def print_forecast_list(found: Mapping[str, Any]) -> None:
    """The forecasts of a level, as `training.forecast.story.forecast_list` tells them."""
    console = make_console()
    made = "as kept" if found["is_stored"] else "computed now from what was known then"
    console.print(
        f"[bold]{escape(found['level'])}[/]  {found['period']}  as of {found['as_of'][:16].replace('T', ' ')} UTC "
        f"({made}), {escape(found['unit'])}",
        soft_wrap=True,
    )
    with_overrides = any(one["adjusted"] is not None for one in found["entities"])
    heads = [found["level"], "expected", *(["with overrides"] if with_overrides else []), "median", "80 % range"]
    has_deals = any(one["commit"] is not None or one["quota"] is not None for one in found["entities"])
    more = ("closed", "commit", "quota") if has_deals else ()
    table = _table("", (*heads, *more, *(("reached",) if has_deals else ())))
    for one in found["entities"]:
        chance = "–" if one["quota_probability"] is None else f"{one['quota_probability']:.0%}"
        table.add_row(
            escape(one["entity_id"]),
            _amount(one["expected"]),
            *([_amount(one["adjusted"])] if with_overrides else []),
            _amount(one["median"]),
            f"{_amount(one['lower_80'])} to {_amount(one['upper_80'])}",
            *(_amount(one[name]) for name in more),
            *((chance,) if has_deals else ()),
        )
    sums = {
        name: sum(round(100 * (one[name] or 0)) for one in found["entities"]) / 100 for name in ("expected", "adjusted")
    }
    table.add_row(
        "[bold]together[/]",
        f"[bold]{_amount(sums['expected'])}[/]",
        *([f"[bold]{_amount(sums['adjusted'])}[/]"] if with_overrides else []),
        *[""] * (2 + len(more) + has_deals),
    )
    console.print(table)
    _print_notes(console, found["notes"])


def print_same(found: Mapping[str, Any]) -> None:
    """Whether something computed again is as it was."""
    console = make_console()
    if found["is_same"]:
        console.print(f"[green]The same, bit for bit:[/] {escape(found['what'])} computed again today")
        return
    differing = ", ".join(found["differences"])
    console.print(
        f"[red]Not the same:[/] {escape(found['what'])} computed again today"
        + (f" comes out otherwise; other than then: {escape(differing)}" if differing else ""),
        soft_wrap=True,
    )


def print_backtest(found: Mapping[str, Any]) -> None:
    """The backtest's verdict and main figures, as `training.forecast.backtest_report` gives them."""
    console = make_console()
    for line in found["verdict"]:
        console.print(f"- {escape(line)}", soft_wrap=True)
    grains = {one["grain"] for one in found["figures"]}
    grain = "quarter" if "quarter" in grains else sorted(grains)[0]
    heads = ("level", "method", "rows", "WAPE", "MAPE", "MAE", "bias", "pinball", "80 %", "95 %")
    table = _table(f"{grain}s, all origins", heads)
    for one in found["figures"]:
        if one["grain"] == grain and one["weeks_before_end"] is None:
            shares = [_share(one[name]) for name in ("wape", "mape")]
            more = [_share(one[name]) for name in ("bias", "pinball", "coverage_80", "coverage_95")]
            table.add_row(
                one["level"], one["method"].replace("_", " "), str(one["rows"]), *shares, _amount(one["mae"]), *more
            )
    console.print()
    console.print(table)
    _print_distances(console, found["figures"], grain)
    console.print(f"report: {escape(found['report'])}", soft_wrap=True)


def _print_distances(console: Console, figures: Sequence[Mapping[str, Any]], grain: str) -> None:
    chosen = [one for one in figures if one["grain"] == grain and one["weeks_before_end"] is not None]
    weeks = sorted({one["weeks_before_end"] for one in chosen}, reverse=True)
    if not weeks:
        return
    table = _table(f"WAPE by weeks before the {grain}'s end", ("level", "method", *(str(week) for week in weeks)))
    for level, method in dict.fromkeys((one["level"], one["method"]) for one in chosen):
        known = {
            one["weeks_before_end"]: one["wape"] for one in chosen if (one["level"], one["method"]) == (level, method)
        }
        table.add_row(level, method.replace("_", " "), *(_share(known.get(week)) for week in weeks))
    console.print()
    console.print(table)


def _print_notes(console: Console, notes: Sequence[str]) -> None:
    for note in notes:
        console.print(f"\n[yellow]Note[/]  {escape(note)}", soft_wrap=True)


def _less(expected: float | None, value: float | None) -> str:
    return "–" if expected is None or value is None else f"{expected - value:+,.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        words = number == 0 or column in ("method", "most of it")
        table.add_column(column, justify="left" if words else "right", overflow="fold")
    return table
