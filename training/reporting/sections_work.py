"""The report's chapters on work: value at the team's capacity, and the newest weeks replayed."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from common.page_style import table
from training.capacity import CHANCE, AtCapacity
from training.replay import Replay
from training.reporting.contents import Capacity, ReportContents
from training.reporting.markup import folded, picture, soft
from training.reporting.words import answer_words, percent, signed_count
from training.results import Metric

_MODEL = "model"


def capacity(contents: ReportContents, pictures: Mapping[str, str]) -> str:
    """What the order is worth to a team that cannot work everything."""
    found = contents.capacity
    things, wins = ("leads", "conversions") if contents.task == "lead" else ("deals", "wins")
    setting = (
        f"{found.setting:.0%} of the {things}" if found.setting < 1 else f"{found.setting:,.0f} {things} a week"
    ).replace("%", " %")
    intro = (
        f"<p>{found.entities:,} {things}, each at the first moment it was scored in the test period; "
        f"{found.outcomes:,} {wins}. The team can work {setting} (setting <code>SALIENCE_GATE__CAPACITY</code>).</p>"
    )
    plot = picture(pictures, "gain", "Cumulative gain.", f"Share of the {wins} found by the share worked.")
    key = (
        f"Found and foretold are numbers of {wins}. Foretold: what the probabilities of those worked add up to; it "
        f"should lie near what was found. Intervals draw whole {things}; “more than” is paired."
    )
    return f'{intro}{_shares(found)}{_value(found, wins)}<div class="pair">{plot}<div>{soft(key)}</div></div>'


def _rivals(found: Capacity) -> list[str]:
    return [name for name in found.orders if name not in (_MODEL, CHANCE)]


def _shares(found: Capacity) -> str:
    rivals = _rivals(found)[:1]
    heads = ["Worked", "Found", "Foretold", "Hit rate", *(_head(name) for name in rivals), "Chance", "More than"]
    rows = []
    for each in found.tables:
        ours = each.by_order[_MODEL]
        rival = rivals[0] if rivals else CHANCE
        rows.append(
            [
                _worked(each, found),
                _count(ours.caught) + f"<small>{percent(ours.found.value, digits=0)} of all</small>",
                "" if ours.expected is None or found.value_unit else f"{ours.expected:,.0f}",
                percent(ours.precision.value, digits=0),
                *(f"{each.by_order[name].caught.value:,.0f}" for name in rivals),
                f"{each.by_order[CHANCE].caught.value:,.0f}",
                _signed(each.ahead[rival]) + f"<small>{escape(answer_words(rival))}</small>",
            ]
        )
    if found.value_unit:
        heads.pop(2)
        rows = [[*row[:2], *row[3:]] for row in rows]
    return table(heads, rows)


def _value(found: Capacity, wins: str) -> str:
    """The same in money, where the data has amounts."""
    if not found.value_unit:
        return ""
    rivals = _rivals(found)[:1]
    rows = []
    for each in found.tables:
        ours = each.by_order[_MODEL]
        rows.append(
            [
                _worked(each, found),
                _count(ours.value),
                "" if ours.expected is None else f"{ours.expected:,.0f}",
                *(f"{each.by_order[name].value.value:,.0f}" for name in rivals),
                f"{each.by_order[CHANCE].value.value:,.0f}",
            ]
        )
    heads = ["Worked", "Found", "Foretold", *(_head(name) for name in rivals), "Chance"]
    unit = escape(found.value_unit)
    return f"<h3>Worth of these {wins}, {unit}</h3>{table(heads, rows)}"


def _worked(each: AtCapacity, found: Capacity) -> str:
    share = percent(each.share, digits=0 if each.share >= 0.095 else 1)
    is_team = abs(each.share - found.team_share) < 1e-9
    name = f"<b>{share}</b>" if is_team else share
    return f"{name}<small>{each.count:,} worked{', as the team can' if is_team else ''}</small>"


def _head(name: str) -> str:
    words = answer_words(name).removeprefix("the ")
    return words[:1].upper() + words[1:]


def _count(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return f"{metric.value:,.0f}"
    return f"{metric.value:,.0f}<small>{metric.low:,.0f} to {metric.high:,.0f}</small>"


def _signed(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return signed_count(metric.value)
    value = signed_count(metric.value)
    is_sure = metric.low * metric.high > 0
    return (
        f"<b>{value}</b>" if is_sure else value
    ) + f"<small>{signed_count(metric.low)} to {signed_count(metric.high)}</small>"


def replay(contents: ReportContents, pictures: Mapping[str, str]) -> str:
    """What the score would have done in the newest weeks of the test period."""
    found = contents.replay
    if found is None:
        return ""
    things, wins = ("leads", "conversions") if contents.task == "lead" else ("deals", "wins")
    names = list(found.totals)
    said = "; ".join(
        f"{escape(answer_words(name))} {found.totals[name].value:,.0f}" for name in names if name != _MODEL
    )
    intro = (
        f"<p>From {found.start} to {found.end}, {len(found.weeks)} weeks: each week the team takes the best "
        f"{found.per_week:,} of the {things} that had a moment to be scored and were not worked before, "
        f"{found.worked:,} in all. By this score it meets <b>{found.totals[_MODEL].value:,.0f}</b> of "
        f"{found.outcomes:,} {wins}; {said}.</p>"
    )
    ahead = table(
        ["More than", "In all", "95 % interval"],
        [
            [escape(answer_words(name)), signed_count(metric.value), _span(metric)]
            for name, metric in found.ahead.items()
        ],
    )
    caution = (
        "It counts outcomes as they came under the old way of working: what working other "
        f"{things} would have changed, nobody can know from this."
    )
    plot = picture(pictures, "replay", "Found so far.", f"{wins.capitalize()} among those worked, week by week.")
    weekly = folded("Week by week", _weeks(found, names))
    return f'{intro}<div class="pair">{plot}<div>{ahead}{soft(caution)}</div></div>{weekly}'


def _weeks(found: Replay, names: list[str]) -> str:
    rows = [
        [week.start, f"{week.queue:,}", *(f"{week.caught[name]:,.1f}".removesuffix(".0") for name in names)]
        for week in found.weeks
    ]
    return table(["Week from", "In the queue", *(_head(name) for name in names)], rows)


def _span(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    return f"{signed_count(metric.low)} to {signed_count(metric.high)}"
