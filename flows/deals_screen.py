"""What `salience deal` and `salience deals …` print: all about one deal; lists of deals; overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from flows.display import make_console

if TYPE_CHECKING:
    from rich.console import Console

    from training.deals.overrides import Accuracy, Overridden

_MONTHS = 6
_STEPS = 8
_BAR = 20
_RIGHT = frozenset({"wins", "amount", "at risk", "value", "slips", "days", "usual", "times", "person", "model"})


def print_story(story: Mapping[str, Any], override: Mapping[str, Any] | None) -> None:
    """All about one deal.

    Args:
        story: As `training.deals.asking.deal_story` tells it.
        override: What a person decided instead; None where nobody did.
    """
    console, record = make_console(), story["record"]
    _print_head(console, record, story["known"], override)
    _print_months(console, record)
    _print_trend(console, story)
    _print_reasons(console, record)
    _print_actions(console, record)
    for note in story["notes"]:
        console.print(f"\n[yellow]Note[/]  {escape(note)}", soft_wrap=True)


def _print_head(
    console: Console, record: Mapping[str, Any], known: Mapping[str, Any], override: Mapping[str, Any] | None
) -> None:
    where = f"{known.get('stage') or 'no stage'}, {_text(known.get('amount_usd'), '{:,.0f} USD', 'no amount')}"
    console.print(
        f"[bold]{escape(record['opportunity_id'])}[/]  {escape(where)}  as of {record['scored_at']:%Y-%m-%d %H:%M} UTC"
    )
    console.print(
        f"  wins with [bold]{record['win_probability']:.1%}[/], within {record['horizon_days']} days with "
        f"{record['win_probability_in_horizon']:.1%}; risk {record['risk_level']}, confidence "
        f"{record['confidence']:.0%}"
    )
    if override is not None:
        console.print(
            f"  [bold]overridden: {override['value']:.1%}[/] by {escape(override['by'])}, "
            f"because {escape(override['justification'])}",
            soft_wrap=True,
        )
    console.print(
        f"  closes, if it is won, about {record['expected_close_date']} "
        f"(80 %: {record['close_date_earliest']} to {record['close_date_latest']}); "
        + _text(record["slip_probability"], "open after its stated close date with {:.0%}", "no stated close date")
    )
    console.print(
        "  brings, if it is won, "
        + _text(record["expected_amount_usd"], "{:,.0f} USD", "an unknown amount")
        + _text(record["amount_low_usd"], " (80 %: {:,.0f}", "")
        + _text(record["amount_high_usd"], " to {:,.0f})", "")
        + _text(record["expected_value_usd"], "; expected value {:,.0f} USD", "")
    )


def _print_months(console: Console, record: Mapping[str, Any]) -> None:
    table = _table("month ahead (30 days each)", ("", *(str(month + 1) for month in range(_MONTHS))))
    rows = (("won in it", "won_in_month"), ("lost in it", "lost_in_month"), ("open after it", "open_after_month"))
    for title, name in rows:
        table.add_row(title, *(f"{value:.1%}" for value in record[name][:_MONTHS]))
    console.print()
    console.print(table)


def _print_trend(console: Console, story: Mapping[str, Any]) -> None:
    trend = story["trend"]
    if len(trend) > 1:
        line = "  ".join(f"{point['at'][5:10]} {point['win_probability']:.0%}" for point in trend)
        console.print(f"\n[bold]Week by week[/]  {line}", soft_wrap=True)
    change = story["change"]
    if not change["steps"]:
        return
    console.print(
        f"\n[bold]Since {change['since'][:10]}[/]  {change['before']:.1%} → {change['after']:.1%} "
        f"({100 * (change['after'] - change['before']):+.1f} points), of which"
    )
    for step in change["steps"][:_STEPS]:
        said = step["after"] if step["before"] == step["after"] else f"{step['before']} → {step['after']}"
        console.print(f"  {100 * step['change']:+6.1f}  {escape(step['theme'])}: {escape(said)}", soft_wrap=True)
    rest = change["rest"] + sum(step["change"] for step in change["steps"][_STEPS:])
    console.print(f"  {100 * rest:+6.1f}  everything else")


def _print_reasons(console: Console, record: Mapping[str, Any]) -> None:
    for title, side in (("Speaks for it", "for"), ("Speaks against it", "against")):
        reasons = record["scoring_factors"][side]
        if reasons:
            console.print(f"\n[bold]{title}[/]")
        for reason in reasons:
            console.print(f"  {escape(reason['text'])}", soft_wrap=True)


def _print_actions(console: Console, record: Mapping[str, Any]) -> None:
    if not record["actions"]:
        return
    console.print("\n[bold]What like deals had that were won more often[/]")
    for action in record["actions"]:
        points = (
            f"{100 * action['gain']:+.1f} points ({100 * action['gain_low']:+.1f} to {100 * action['gain_high']:+.1f})"
        )
        console.print(f"  {points}  {escape(action['text'])}", soft_wrap=True)


def print_list(title: str, deals: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, limit: int) -> None:
    """A list of deals.

    Args:
        title: What it is a list of.
        deals: The deals, as `training.deals.lists` gives them.
        columns: Heading and key of each column.
        limit: Most rows to print.
    """
    console = make_console()
    if not deals:
        console.print(f"{title}: none")
        return
    table = _table(f"{title}: {len(deals):,}", tuple(columns))
    for deal in deals[:limit]:
        table.add_row(*(_cell(heading, deal.get(name)) for heading, name in columns.items()))
    console.print(table)
    if len(deals) > limit:
        console.print(f"… and {len(deals) - limit:,} more; --limit shows them")


def print_notes(notes: Sequence[str]) -> None:
    """What a reader has to know about the answers."""
    console = make_console()
    for note in notes:
        console.print(f"[yellow]Note[/]  {escape(note)}", soft_wrap=True)


def print_override(decision: Mapping[str, Any]) -> None:
    """What was recorded."""
    console = make_console()
    said = "the model's word holds again" if decision["value"] is None else f"{decision['value']:.1%} holds"
    console.print(
        f"Decision {decision['number']} on {escape(decision['entity_id'])}: {said}; the model says "
        f"{decision['model']:.1%}. Both are kept."
    )


def print_overrides(overrides: Sequence[Overridden], accuracy: Accuracy) -> None:
    """All overrides, and who was nearer to what happened."""
    console = make_console()
    table = _table(f"overrides: {len(overrides)}", ("deal", "when", "person", "model", "came", "who", "because"))
    for one in overrides:
        came = "open" if one.won is None else "won" if one.won else "lost"
        table.add_row(
            one.opportunity_id,
            f"{one.at:%Y-%m-%d}",
            f"{one.person:.0%}",
            f"{one.model:.0%}",
            came,
            one.who,
            one.because,
        )
    console.print(table)
    if accuracy.person_brier is not None and accuracy.model_brier is not None:
        console.print(
            f"Mean squared error on {accuracy.decided} ended deals: persons {accuracy.person_brier:.4f}, model "
            f"{accuracy.model_brier:.4f}"
        )
    console.print(f"[bold]{accuracy.verdict[:1].upper()}{accuracy.verdict[1:]}[/]")


def _cell(heading: str, value: Any) -> str:
    if value is None:
        return "–"
    if heading in ("wins", "slips"):
        return f"{value:.0%}"
    if heading in ("amount", "at risk", "value"):
        return f"{value:,.0f}"
    return escape(str(value))


def _text(value: Any, form: str, otherwise: str) -> str:
    return otherwise if value is None else form.format(value)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        is_number = column in _RIGHT or column.isdigit()
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    return table
