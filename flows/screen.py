"""The demo's closing screen: what was built, how good it is, what it says, and what to type next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.rule import Rule
from rich.table import Table

if TYPE_CHECKING:
    from flows.run_demo import Demo

# Metrics on the screen: key, title, whether more is better.
_CLASSIFIER_METRICS = (
    ("auc", "AUC"),
    ("log_loss", "log-loss"),
    ("ece", "calibration error"),
    ("top_decile_lift", "top-decile lift"),
)
_ASKED_ROWS = 5


def print_screen(console: Console, demo: Demo) -> None:
    """Print everything a newcomer wants to know after a run."""
    console.print()
    console.print(Rule(f"Salience · {demo.name} · as known on {demo.platform.now():%Y-%m-%d %H:%M} UTC", style="dim"))
    _print_built(console, demo)
    print_quality(console, demo.records)
    print_forecast(console, demo.records.get("train-forecast"))
    scored = demo.records.get("score-open", {}).get("scored", {})
    if scored.get("lead", {}).get("top"):
        _print_leads(console, scored["lead"])
    if scored.get("deal", {}).get("top"):
        _print_deals(console, scored["deal"])
    _print_looks(console, _newest_looks(demo))
    _print_places(console, demo)


def print_record(record: Mapping[str, Any]) -> None:
    """Print a flow's record: figures as lines, files last."""
    console = Console(highlight=False)
    for name, value in record.items():
        if name == "outputs":
            continue
        if isinstance(value, Mapping):
            console.print(f"[bold]{name}[/]")
            for key, part in value.items():
                console.print(f"  {key}: {_brief(part)}", soft_wrap=True)
        else:
            console.print(f"[bold]{name}[/]: {_brief(value)}", soft_wrap=True)


def _brief(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_brief(part)}" for key, part in value.items() if part not in (None, {}, []))
    if isinstance(value, list | tuple):
        return f"{len(value)}" if value and isinstance(value[0], Mapping) else ", ".join(str(part) for part in value)
    return str(value)


def _print_built(console: Console, demo: Demo) -> None:
    models = [
        f"{record['model']} v{record['version']}" for name, record in demo.records.items() if name.startswith("train-")
    ]
    console.print(f"[bold]Built[/]     {', '.join(models) or 'no model'}")
    for model, reason in demo.left_out.items():
        console.print(f"[bold]Left out[/]  the {model} model: {reason}", soft_wrap=True)
    if demo.reused:
        console.print(
            f"[bold]Reused[/]    {', '.join(demo.reused)} (nothing they depend on has changed)", soft_wrap=True
        )


def print_quality(console: Console, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Figures of the classifiers beside their baselines, and what the gate said."""
    for task in ("lead", "deal"):
        record = records.get(f"train-{task}")
        if record is None:
            continue
        if not record["metrics"]:  # too little data for a model: what stands in its place says so itself
            for warning in record["warnings"]:
                console.print(f"! {warning}", style="yellow", soft_wrap=True)
            continue
        rows = int(record["metrics"]["rows"]["value"])
        table = Table(
            title=f"{task} model on {rows:,} later rows, 95 % intervals", title_justify="left", box=None, pad_edge=False
        )
        table.add_column("")
        table.add_column("model", justify="right", style="bold")
        for baseline in record["baselines"]:
            table.add_column(baseline.replace("_", " "), justify="right")
        for key, title in _CLASSIFIER_METRICS:
            table.add_row(
                title,
                _figure(record["metrics"], key, interval=True),
                *(_figure(base, key) for base in record["baselines"].values()),
            )
        for name, metrics in record["protocols"].items():
            if ": " in name or not name.startswith(("@", "published")):
                continue
            table.add_row(f"AUC, {name}", _figure(metrics, "auc", interval=True))
        console.print()
        console.print(table)
        console.print(f"gate: {record['decision']['reason']}", style="dim", soft_wrap=True)
        for warning in record["warnings"]:
            console.print(f"! {warning}", style="yellow", soft_wrap=True)


def _figure(metrics: Mapping[str, Mapping[str, float | None]], key: str, *, interval: bool = False) -> str:
    metric = metrics.get(key)
    if metric is None or metric["value"] is None or math.isnan(metric["value"]):
        return "–"
    text = f"{metric['value']:.3f}"
    if interval and metric["low"] is not None and metric["high"] is not None:
        text += f" [{metric['low']:.3f}, {metric['high']:.3f}]"
    return text


def print_forecast(console: Console, record: Mapping[str, Any] | None) -> None:
    """A forecast's newest judged period and the one to come, and its error beside the baselines."""
    if record is None:
        return
    past, upcoming = record["past"], record["upcoming"]
    unit = upcoming["unit"]
    table = Table(title=f"forecast of {upcoming['level']}, {unit}", title_justify="left", box=None, pad_edge=False)
    for title in ("period", "made on", "median", "80 % interval", "95 % interval", "what happened"):
        table.add_column(title, justify="left" if title == "period" else "right")
    table.add_row(
        past["period"],
        past["as_of"][:10],
        _amount(past["median"]),
        f"{_amount(past['lower_80'])} – {_amount(past['upper_80'])}",
        f"{_amount(past['lower_95'])} – {_amount(past['upper_95'])}",
        f"[bold]{_amount(past['actual'])}[/]",
    )
    intervals = upcoming["intervals"]
    table.add_row(
        upcoming["period"],
        upcoming["as_of"][:10],
        _amount(upcoming["median"]),
        *(f"{_amount(intervals[level]['lower'])} – {_amount(intervals[level]['upper'])}" for level in ("80", "95")),
        "not yet known",
    )
    console.print()
    console.print(table)
    _print_forecast_quality(console, record)


def _print_forecast_quality(console: Console, record: Mapping[str, Any]) -> None:
    levels = [name.removeprefix("wape_") for name in record["metrics"] if name.startswith("wape_")]
    table = Table(title="forecast error (WAPE) on past origins", title_justify="left", box=None, pad_edge=False)
    table.add_column("level")
    table.add_column("model", justify="right", style="bold")
    for baseline in record["baselines"]:
        table.add_column(baseline.replace("_", " "), justify="right")
    table.add_column("80 % covers", justify="right")
    for level in levels:
        covered = record["metrics"].get(f"coverage_80_{level}")
        table.add_row(
            level,
            _wape(record["metrics"], level),
            *(_wape(base, level) for base in record["baselines"].values()),
            f"{covered['value']:.0%}" if covered else "–",
        )
    console.print()
    console.print(table)
    console.print(f"gate: {record['decision']['reason']}", style="dim", soft_wrap=True)
    for warning in record["warnings"]:
        console.print(f"! {warning}", style="yellow", soft_wrap=True)


def _wape(metrics: Mapping[str, Mapping[str, float]], level: str) -> str:
    metric = metrics.get(f"wape_{level}")
    return "–" if metric is None else f"{metric['value']:.4f}"


def _amount(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:,.0f}"


def _print_leads(console: Console, batch: Mapping[str, Any]) -> None:
    table = _asked(f"five best of {batch['count']:,} open leads", ("lead", "converts", "score", "grade", "why"))
    for lead in batch["top"][:_ASKED_ROWS]:
        why = "; ".join(reason["text"] for reason in lead["scoring_factors"]["for"][:2])
        score = f"{lead['composite_score']:.0f}"
        table.add_row(lead["lead_id"], f"{lead['conversion_probability']:.0%}", score, lead["grade"], why)
    console.print()
    console.print(table)


def _print_deals(console: Console, batch: Mapping[str, Any]) -> None:
    table = _asked(
        f"five deals most at risk of {batch['count']:,} open", ("deal", "stage", "amount", "wins", "why not")
    )
    for deal in batch["top"][:_ASKED_ROWS]:
        why = "; ".join(reason["text"] for reason in deal["scoring_factors"]["against"][:2])
        amount = _amount(deal.get("amount_usd"))
        table.add_row(deal["opportunity_id"], deal.get("stage") or "–", amount, f"{deal['win_probability']:.0%}", why)
    console.print()
    console.print(table)


def _asked(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        right = column in {"converts", "score", "amount", "wins"}
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


def _newest_looks(demo: Demo) -> dict[str, Mapping[str, Any]]:
    models = demo.records.get("monitor", {}).get("models", {})
    return {task: looks[-1] for task, looks in models.items() if looks}


def _print_looks(console: Console, looks: Mapping[str, Mapping[str, Any]]) -> None:
    if looks:
        console.print()
    for task, look in looks.items():
        console.print(
            f"[bold]Watched[/]   {task}: {look['verdict']}, {look['decision']}. {look['reason']}", soft_wrap=True
        )


def _print_places(console: Console, demo: Demo) -> None:
    console.print()
    for name, record in demo.records.items():
        if name.startswith("train-"):
            console.print(f"[bold]Report[/]    {_near(record['report'])}", soft_wrap=True)
    for look in _newest_looks(demo).values():
        console.print(f"[bold]Watch[/]     {_near(look['page'])}", soft_wrap=True)
    console.print()
    suffix = "" if demo.name == "simulated" else f" --source {demo.name}"
    console.print("[bold]Next[/]")
    if suffix:
        console.print(f"  .venv/bin/salience serve{suffix:<24} ask the models over HTTP (README: curl)")
    else:
        console.print("  make serve                                   ask the models over HTTP (README: curl)")
    console.print("  make ui                                      Prefect, MLflow and Evidently in the browser")
    classifier = next((name.removeprefix("train-") for name in demo.records if name.startswith("train-")), "lead")
    command = f".venv/bin/salience train {classifier} --trials 50{suffix}"
    console.print(f"  {command:<44} a longer study; the gate decides")


def _near(path: str) -> str:
    """A path below this folder without the folder."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
