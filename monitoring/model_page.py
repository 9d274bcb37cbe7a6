"""One page per model: is anything wrong, since when, what does it cost, what is recommended, what was decided.

The first screen answers "what should I do?"; below it the chain from look to alias can be followed, then every check
with its figures. Evidently's and our drift reports are behind it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from common.page_style import page, table
from common.whole_files import whole_file
from common.workspace import Workspace
from monitoring.checks import Check, State
from monitoring.decisions import (
    ALERT,
    DECISION,
    EVALUATION,
    EVENT,
    RETRAINING,
    Step,
    decision_log,
)
from monitoring.look import Look, read_looks
from monitoring.looks import Parts
from monitoring.quality_plot import plot_months, plot_states
from monitoring.standing import Standing, standing
from training.promotion import promotion_log

_MOST_STEPS = 30
_SHOWN_LOOKS = 26
_MARKS = {State.OK: "good", State.NOTICE: "unsure", State.FAILS: "bad", State.UNKNOWN: "soft"}
_WORDS = {State.OK: "ok", State.NOTICE: "moved, costs nothing", State.FAILS: "fails", State.UNKNOWN: "cannot tell"}
_STYLE = """
.first{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1rem;margin:0 0 1rem}.first dt{color:var(--soft)}.first dd{margin:0;overflow-wrap:anywhere}
pre{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.6rem;overflow-x:auto;margin:.25rem 0;font-size:.85rem;white-space:pre-wrap;overflow-wrap:anywhere}
.chain td:first-child{white-space:nowrap}
.states{display:flex;gap:3px}.states i{flex:1;height:1.4rem;border-radius:.2rem}.dates{display:flex;justify-content:space-between;white-space:nowrap}
.months{overflow-x:auto}.months svg{min-width:34rem}
@media(max-width:40rem){.first{grid-template-columns:1fr;gap:0}.first dd{margin-bottom:.5rem}}
"""  # noqa: E501 (style sheet, one rule group a line)


def page_of(workspace: Workspace, task: str) -> Path:
    """The page of a task's model."""
    return workspace.reports / f"{task}.html"


def write_model_page(parts: Parts, task: str) -> Path | None:
    """Write the page of a task's model anew; None where it was never looked at."""
    looks = read_looks(parts.workspace, task)
    if not looks:
        return None
    log = decision_log(parts.workspace)
    ids = {look.look_id for look in looks}
    model = parts.workspace.model_name(task)
    steps = [s for s in log.steps() if s.report_id in ids or s.record.get("model") == model]
    promotions = [entry for entry in promotion_log(parts.registry).entries() if entry["name"] == model]
    target = page_of(parts.workspace, task)
    with whole_file(target) as partial:
        partial.write_text(render(looks, steps, promotions, folder=target.parent, source=parts.workspace.name), "utf-8")
    return target


def render(
    looks: Sequence[Look],
    steps: Sequence[Step],
    promotions: Sequence[Mapping[str, Any]],
    *,
    folder: Path,
    source: str,
) -> str:
    """The whole page.

    Args:
        looks: All looks at the model, oldest window first; at least one.
        steps: The log's steps about them, oldest first.
        promotions: The promotion log's entries about the model, oldest first.
        folder: Where the page will lie, for links.
        source: Workspace, for the commands.
    """
    newest = looks[-1]
    parts = [
        _first_screen(newest, standing(looks, steps, promotions, source=source)),
        _history(looks),
        _chain(steps, promotions, folder),
        _checks(newest),
        _quality(newest),
        _columns(newest),
        _segments(newest),
        _forecasts(newest),
        _skew(newest),
        _links(newest, folder),
    ]
    return page("".join(parts), title=f"{newest.model}: what should I do?", style=_STYLE)


def _first_screen(look: Look, said: Standing) -> str:
    facts = {
        "Is anything wrong?": said.wrong,
        "Since when?": said.since,
        "What does it cost?": said.cost,
        "Recommended": said.recommended,
        "Decided": said.decided,
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items())
    commands = "".join(f"<pre>{escape(command)}</pre>" for command in said.commands)
    to_type = f"<p class=soft>What you can type:</p>{commands}" if commands else ""
    return (
        f"<h1>{escape(look.model)}, version {escape(look.version)}: what should I do?</h1>"
        f'<p class="verdict {said.mark}">{escape(said.headline)}</p><dl class="first">{items}</dl>{to_type}'
        f"<p class=soft>Window {look.window[0]:%Y-%m-%d} to {look.window[1]:%Y-%m-%d} UTC.</p>"
    )


def _history(looks: Sequence[Look]) -> str:
    shown = looks[-_SHOWN_LOOKS:]
    title = "The last look" if len(shown) == 1 else f"The last {len(shown)} looks"
    return f"<h2>{title}</h2>{plot_states(shown)}"


def _chain(steps: Sequence[Step], promotions: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """Every step of the chain, newest first: look, event, decision, retraining, gate, alias, alert."""
    rows = [(step.at, *_step_row(step, folder)) for step in steps]
    rows += [(str(entry["at"]), *_promotion_row(entry)) for entry in promotions]
    rows.sort(key=lambda row: _moment(row[0]), reverse=True)
    if not rows:
        return ""
    cells = [
        (f"{escape(at[:16].replace('T', ' '))}", f"<b>{escape(what)}</b>", text)
        for at, what, text in rows[:_MOST_STEPS]
    ]
    older = (
        f"<p class=soft>{len(rows) - _MOST_STEPS} older steps are in decision-log.jsonl.</p>"
        if len(rows) > _MOST_STEPS
        else ""
    )
    made = table(("When (UTC)", "Step", "What"), cells, whole=("What",), words=("Step",))
    return f"<h2>What happened</h2><div class=chain>{made}</div>{older}"


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _step_row(step: Step, folder: Path) -> tuple[str, str]:
    record = step.record
    if step.step in (EVALUATION, DECISION):
        window = f"window until {str(record['window'][1])[:10]}"
        who = "" if step.step == EVALUATION else f" by {record['decided_by']}"
        what = "evaluated" if step.step == EVALUATION else "decided"
        return what, f"{escape(str(record['decision']))}{escape(who)}, {window}: {escape(str(record['reason']))}"
    if step.step == EVENT:
        return "event", f"<code>{escape(str(record['event']))}</code> for {escape(str(record['look_id']))}"
    if step.step == RETRAINING:
        what = "promoted" if record["promoted"] else "kept out by the gate"
        link = _link(record.get("report"), folder, f"version {record['version']}")
        return "retrained", f"{link} {what}: {escape(str(record['reason']))}"
    if step.step == ALERT:
        return "alert", f"{escape(str(record['title']))} over {escape(', '.join(record['channels']))}"
    return step.step, ""


def _promotion_row(entry: Mapping[str, Any]) -> tuple[str, str]:
    before = f" (before: {entry['champion_before']})" if entry.get("champion_before") else ""
    if entry["promoted"]:
        text = f"champion is now version {entry['version']}{before}, {entry.get('kind', 'gate')}, by {entry['who']}"
        return "alias moved", escape(text)
    return "gate", escape(f"version {entry['version']} not promoted: {entry['reason']}")


def _checks(look: Look) -> str:
    rows = [
        (
            f"<b>{escape(check.name)}</b>",
            f'<span class="{_MARKS[check.state]}">{"a guess" if check.is_a_guess else _WORDS[check.state]}</span>',
            "" if check.cost_share is None else f"{check.cost_share:.1%}",
            escape(check.says),
        )
        for check in look.checks
    ]
    return "<h2>What was looked at</h2>" + table(
        ("Check", "State", "Costs", "What was found"), rows, whole=("What was found",), words=("State",)
    )


def _check(look: Look, name: str) -> Check | None:
    return next((check for check in look.checks if check.name == name), None)


def _quality(look: Look) -> str:
    months = look.facts.get("months") or []
    estimated = _check(look, "estimated quality")
    if not months:
        return ""
    figure = plot_months(months, estimated.figures if estimated else {})
    rows = [
        (
            escape(str(row["month"])),
            f"{row['mature'] / row['rows']:.0%} of {row['rows']:,}" if row["rows"] else "",
            _span(row, "auc"),
            _number(row.get("log_loss"), 4),
            _percent(row.get("expected")),
            _percent(row.get("came")),
        )
        for row in months[-18:]
    ]
    heads = ("Scored in", "Labels known", "AUC", "Log-loss", "Expected", "Came")
    note = (
        "<p class=soft>Only labels whose horizon has passed count; the unknown are never taken as negative. The last "
        "point is the estimate of the current window, before its labels.</p>"
    )
    return f"<h2>Quality as labels mature</h2>{figure}{note}{table(heads, rows)}"


def _span(row: Mapping[str, Any], name: str) -> str:
    if row.get(name) is None:
        return ""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return f"{row[name]:.3f}" if low is None else f"{row[name]:.3f} ({low:.3f} to {high:.3f})"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _columns(look: Look) -> str:
    check = _check(look, "input drift")
    columns = check.figures.get("columns", []) if check else []
    if not columns:
        return ""
    rows = [
        (
            f"<code>{escape(str(column['name']))}</code>",
            _number(column["statistic"]),
            _number(column["threshold"]),
            _percent(column["loss_share"]),
            _percent(column["importance"]),
            '<span class="bad">beyond</span>' if column["drifted"] else "within",
        )
        for column in columns
    ]
    heads = ("Column", "Distance", "Allowed", "Costs", "Weight", "Chance")
    in_all = check.figures.get("in_all", len(columns)) if check else len(columns)
    return f"<h2>Inputs, costliest first ({len(rows)} of {in_all})</h2>{table(heads, rows, words=('Chance',))}"


def _segments(look: Look) -> str:
    check = _check(look, "segments")
    groups = check.figures.get("groups", []) if check else []
    if not groups:
        return ""
    rows = [
        (
            escape(f"{group['segment']} = {group['value']}"),
            f"{group['rows']:,}",
            _percent(group["expected"]),
            _percent(group["came"]),
            f"{group['z']:+.1f}",
        )
        for group in groups
    ]
    return f"<h2>Groups, most wrongly answered first</h2>{table(('Group', 'Rows', 'Expected', 'Came', 'z'), rows)}"


def _forecasts(look: Look) -> str:
    check = _check(look, "forecast accuracy")
    if check is None:
        return ""
    parts = []
    for name, title in (("made", "Forecasts that have come to their end"), ("backtest", "The champion's backtest")):
        rows = [
            (
                escape(f"{row['level']}, {row['horizon_months']} months ahead"),
                f"{row['rows']:,}",
                _percent(row["mape"]),
                f"{row['mae']:,.0f}",
                _percent(row["wape"]),
                _percent(row.get("wape_naive")),
                "" if row["bias"] is None else f"{row['bias']:+.1%}",
                _percent(row["coverage_80"]),
                _percent(row["coverage_95"]),
            )
            for row in check.figures.get(name, [])
        ]
        heads = ("Level", "Rows", "MAPE", "MAE", "WAPE", "naive WAPE", "Bias", "80 % covers", "95 % covers")
        if rows:
            parts.append(f"<h2>{title}</h2>{table(heads, rows)}")
    return "".join(parts)


def _skew(look: Look) -> str:
    check = _check(look, "online skew")
    wrong = check.figures.get("wrong", []) if check else []
    if not wrong:
        return ""
    rows = [
        (
            f"<code>{escape(str(row['feature']))}</code>",
            _percent(row["share"]),
            escape(str(row["online"])),
            escape(str(row["offline"])),
            escape(f"{row['entity']} at {str(row['as_of'])[:16]}"),
        )
        for row in wrong
    ]
    heads = ("Feature", "Rows", "Answered from", "Computed again", "Example")
    return f"<h2>Online features that are not what they are offline</h2>{table(heads, rows, words=('Example',))}"


def _links(look: Look, folder: Path) -> str:
    links = [
        _link(look.report, folder, "drift report"),
        _link(look.facts.get("evidently"), folder, "Evidently's report"),
        _link(str(folder / look.task / f"training-{look.version}.html"), folder, "the champion's training report"),
    ]
    shown = ", ".join(link for link in links if "href" in link)
    return f"<footer><p>{shown}. Evidently's workspace, MLflow and Prefect: <code>salience ui</code>.</p></footer>"


def _link(path: object, folder: Path, text: str) -> str:
    if not path or not Path(str(path)).is_file():
        return escape(text)
    return f'<a href="{escape(os.path.relpath(str(path), folder))}">{escape(text)}</a>'
