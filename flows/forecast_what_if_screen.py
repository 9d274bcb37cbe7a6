"""What `salience forecast override`, `overrides` and `scenarios` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from flows.display import make_console

if TYPE_CHECKING:
    from rich.console import Console

_MOST_TOUCHED = 15


def print_forecast_override(found: Mapping[str, Any]) -> None:
    """What was recorded, and what it changes above and below."""
    console = make_console()
    held = "the model's word holds again" if found["value"] is None else f"{found['value']:,.2f} holds"
    console.print(
        f"Decision {found['number']} on {escape(found['name'])} by {escape(found['by'])}: {held}; the model says "
        f"{found['model']:,.2f}. Both are kept.",
        soft_wrap=True,
    )
    touched = found["touched"]
    table = _table("in the same period", ("", "model", "was", "is now"))
    for one in touched[:_MOST_TOUCHED]:
        name = one["entity_id"] if one["level"] == one["entity_id"] else f"{one['level']} {one['entity_id']}"
        table.add_row(escape(name), *(f"{one[column]:,.2f}" for column in ("expected", "was", "adjusted")))
    if touched:
        console.print(table)
    if len(touched) > _MOST_TOUCHED:
        console.print(f"… and {len(touched) - _MOST_TOUCHED:,} more")


def print_forecast_overrides(found: Mapping[str, Any]) -> None:
    """All overrides, and who was nearer to what came."""
    console, accuracy = make_console(), found["accuracy"]
    heads = ("whose", "period", "when", "person", "model", "came", "who", "because")
    table = _table(f"overrides: {len(found['overrides'])}", heads)
    for one in found["overrides"]:
        whose = one["entity_id"] if one["level"] == one["entity_id"] else f"{one['level']} {one['entity_id']}"
        person = "withdrawn" if one["value"] is None else f"{one['value']:,.0f}"
        table.add_row(
            escape(whose),
            one["period"],
            (one["as_of"] or one["at"])[:10],
            person,
            _amount(one["model"]),
            "not over" if one["came"] is None else f"{one['came']:,.0f}",
            escape(one["who"]),
            escape(one["because"]),
        )
    console.print(table)
    if accuracy["judged"]:
        console.print(
            f"On {accuracy['judged']} whose period is over: error of the persons {_share(accuracy['person_wape'])} "
            f"(bias {_share(accuracy['person_bias'], '+')}), of the model {_share(accuracy['model_wape'])} (bias "
            f"{_share(accuracy['model_bias'], '+')})",
            soft_wrap=True,
        )
    console.print(f"[bold]{accuracy['verdict'][:1].upper()}{accuracy['verdict'][1:]}[/]", soft_wrap=True)


def print_scenarios(found: Mapping[str, Any]) -> None:
    """A comparison of scenarios, as `training.forecast.scenario_store` keeps it."""
    console = make_console()
    kept = " (kept before; nothing was computed)" if found.get("is_kept") else ""
    console.print(
        f"[bold]Scenarios {escape(found['scenario_id'])}[/]{kept}  {escape(found['entity_id'])}, {found['period']}, "
        f"as of {found['as_of'][:16].replace('T', ' ')} UTC, {escape(found['unit'])}",
        soft_wrap=True,
    )
    if found["status"] != "done":
        console.print(f"{found['status']}: {escape(found['problem'] or 'not computed yet')}", soft_wrap=True)
        return
    for one in found["spreads"]:
        console.print(
            f"  {one['lever'].replace('_', ' ')}: one quarter in ten was below × {one['low']:.2f}, one in ten above × "
            f"{one['high']:.2f} ({one['quarters']} pairs, each beside {one['compared']})",
            soft_wrap=True,
        )
    _print_side_by_side(console, found)
    _print_entities(console, found)
    for scenario in found["scenarios"]:
        _print_worth(console, scenario)
    for note in found["notes"]:
        console.print(f"\n[yellow]Note[/]  {escape(note)}", soft_wrap=True)


def _print_side_by_side(console: Console, found: Mapping[str, Any]) -> None:
    heads = ("scenario", "expected", "against realistic", "median", "80 % range", "quota", "reached")
    table = _table("side by side", heads)
    for scenario in found["scenarios"]:
        mine = next(row for row in scenario["values"] if row["entity_id"] == found["entity_id"])
        table.add_row(
            escape(scenario["name"]),
            _amount(mine["expected"]),
            f"{scenario['change']['expected']:+,.0f}",
            _amount(mine["median"]),
            f"{_amount(mine['lower_80'])} to {_amount(mine['upper_80'])}",
            _amount(mine["quota"]),
            "–" if mine["probability"] is None else f"{mine['probability']:.0%}",
        )
    console.print()
    console.print(table)


def _print_entities(console: Console, found: Mapping[str, Any]) -> None:
    entities = [row["entity_id"] for row in found["scenarios"][0]["values"]]
    if len(entities) < 2:
        return
    table = _table(f"expected, by {found['level']}", ("", *(escape(one["name"]) for one in found["scenarios"])))
    for entity in entities:
        cells = [
            next(row["expected"] for row in scenario["values"] if row["entity_id"] == entity)
            for scenario in found["scenarios"]
        ]
        table.add_row(escape(entity), *(_amount(value) for value in cells))
    console.print()
    console.print(table)


def _print_worth(console: Console, scenario: Mapping[str, Any]) -> None:
    if not scenario["worth"]:
        return
    table = _table(f"{scenario['name']}: what each lever alone is worth", ("lever", "expected", "chance of the quota"))
    for one in scenario["worth"]:
        chance = "–" if one["probability"] is None else f"{100 * one['probability']:+.1f} points"
        table.add_row(escape(one["lever"]), f"{one['expected']:+,.0f}", chance)
    if len(scenario["worth"]) > 1:
        table.add_row("more, because they act together", f"{scenario['together']:+,.0f}", "")
    console.print()
    console.print(table)


def print_scenario_list(found: Sequence[Mapping[str, Any]]) -> None:
    """The comparisons that are kept."""
    console = make_console()
    if not found:
        console.print("No comparison of scenarios is kept; make one with `salience forecast scenarios`.")
        return
    table = _table(f"comparisons: {len(found)}", ("id", "whose", "period", "scenarios", "status", "by"))
    for one in found:
        names = ", ".join(value["name"] for value in one["inputs"])
        table.add_row(
            one["scenario_id"],
            escape(one["entity_id"]),
            one["period"],
            escape(names),
            one["status"],
            escape(one["submitted_by"]),
        )
    console.print(table)


def _share(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{100 * value:{sign}.1f} %"


def _amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _table(title: str, columns: Sequence[str]) -> Table:
    words = {"", "scenario", "lever", "whose", "period", "when", "who", "because", "id", "scenarios", "status", "by"}
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in words else "right", overflow="fold")
    return table
