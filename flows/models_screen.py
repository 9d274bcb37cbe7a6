"""What `salience models …` prints: versions, one version, two side by side, decisions, a rebuilt one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from flows.display import make_console

if TYPE_CHECKING:
    from training.comparison import Comparison
    from training.forecast.gate import Comparison as ForecastComparison
    from training.history import History
    from training.promotion_log import Decision
    from training.rebuild import Rebuilt
    from training.registry_reading import VersionRecord

_FIGURES = ("log_loss", "auc", "ece")
_HEADS = {
    "log_loss": "log-loss",
    "auc": "AUC",
    "pr_auc": "PR-AUC",
    "brier": "Brier",
    "ece": "calibration error",
    "top_decile_lift": "top-tenth lift",
    "value_at_capacity": "brought at capacity",
}
_RECORD_LINES = (
    "source",
    "horizon_days",
    "cut",
    "split",
    "fingerprint",
    "seed",
    "threads",
    "model_hash",
    "code",
    "commit",
)


def print_versions(versions: Mapping[str, Sequence[VersionRecord]], history: History) -> None:
    """A table per model, newest version first."""
    console = make_console()
    for name, records in versions.items():
        if not records:
            console.print(
                f"[bold]{escape(name)}[/]: no version yet; train one: salience train {name.rsplit('-', 1)[-1]}"
            )
            continue
        table = _table(name, ("version", "kind", "aliases", "registered", "champion since", "by", "figures"))
        for record in records:
            entry = history.since(name, record.version) if "champion" in record.aliases else None
            table.add_row(
                record.version,
                record.tags.get("scoring") or record.params.get("library", "–"),
                ", ".join(record.aliases) or "–",
                f"{record.created_at:%Y-%m-%d %H:%M}",
                entry["at"][:16].replace("T", " ") if entry else "–",
                f"{entry['who']} ({entry['kind']})" if entry else "–",
                _figures(record.metrics),
            )
        console.print(table)
    _print_outside(history)


def print_version(record: VersionRecord, bundle: Path, history: History) -> None:
    """All of one version."""
    console = make_console()
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    console.print(f"[bold]{escape(record.name)} version {record.version}[/] {', '.join(record.aliases)}")
    kind = record.tags.get("scoring") or record.params.get("library", manifest.get("kind", "–"))
    lines = {
        "kind": kind,
        "registered": f"{record.created_at:%Y-%m-%d %H:%M} UTC",
        "run": record.run_id,
        "bundle": bundle,
    }
    kept = bundle / "record.json"
    if kept.is_file():
        values = json.loads(kept.read_text(encoding="utf-8"))
        lines |= {name.replace("_", " "): values[name] for name in _RECORD_LINES}
        lines["tables"] = ", ".join(f"{table} {version}" for table, version in values["warehouse_versions"].items())
        lines["libraries"] = ", ".join(f"{library} {version}" for library, version in values["libraries"].items())
    for name, value in lines.items():
        console.print(f"  {name}: {escape(str(value))}", soft_wrap=True)
    _print_figures(manifest)
    for entry in history.about(record.name, record.version):
        _print_entry(entry, with_checks=True)


def print_comparison(name: str, found: Comparison) -> None:
    """Figures of two versions, their differences, and log-loss by segment."""
    console = make_console()
    console.print(
        f"[bold]{escape(name)}[/]: version {found.first} against version {found.second} on the newest {found.rows:,} "
        f"rows of {found.entities:,}, {found.since[:10]} to {found.until[:10]}, which neither has seen",
        soft_wrap=True,
    )
    table = _table("", ("figure", f"version {found.first}", f"version {found.second}", "difference", "95 %", "better"))
    for pair in found.figures:
        better = {"first": found.first, "second": found.second, "neither": "–"}[pair.better]
        table.add_row(
            _HEADS[pair.name],
            f"{pair.first:,.4f}",
            f"{pair.second:,.4f}",
            f"{pair.second - pair.first:+,.4f}",
            f"{pair.low:+,.4f} to {pair.high:+,.4f}",
            better,
        )
    console.print(table)
    if not found.segments:
        console.print("No segment has enough rows and outcomes to be judged.", style="dim")
        return
    heads = ("segment", "rows", f"version {found.first}", f"version {found.second}", "difference", "surely")
    segments = _table("log-loss by segment", heads)
    for each in sorted(found.segments, key=lambda segment: -segment.difference):
        margin = each.difference - each.at_least(looked_at=len(found.segments))
        surely = "worse" if each.difference > margin else "better" if each.difference < -margin else "–"
        segments.add_row(
            f"{each.kind} {each.name}", f"{each.rows:,}", f"{each.theirs:.4f}", f"{each.ours:.4f}",
            f"{each.difference:+.4f}", surely,
        )  # fmt: skip
    console.print(segments)


def print_forecast_comparison(name: str, versions: tuple[str, str], found: ForecastComparison) -> None:
    """Error of two forecasts on the origins, entities and periods that both have."""
    first, second = versions
    make_console().print(
        f"[bold]{escape(name)}[/]: WAPE over all levels {found.rival:.4f} (version {first}) and "
        f"{found.challenger:.4f} (version {second}) on the same {found.n_rows:,} rows of {found.n_periods} periods; "
        f"difference {found.challenger - found.rival:+.4f}, at most {found.difference_upper:+.4f} with 95 %",
        soft_wrap=True,
    )


def print_history(history: History) -> None:
    """Decisions, oldest first."""
    console = make_console()
    for entry in history.entries:
        _print_entry(entry, with_checks=False)
    if not history.entries:
        console.print("No decision yet.")
    else:
        console.print(
            f"{len(history.entries)} decisions; the log is whole: no line was changed or cut off.", style="dim"
        )
    _print_outside(history)


def print_decision(decision: Decision) -> None:
    """What was done by hand."""
    before = f"before: version {decision.champion_before}" if decision.champion_before else "before: none"
    make_console().print(
        f"{escape(decision.name)} version {decision.version} is champion ({before}), recorded for "
        f"{escape(decision.who)} at {decision.at}: {escape(decision.reason)}",
        soft_wrap=True,
    )


def print_rebuilt(name: str, rebuilt: Rebuilt) -> None:
    """Whether the same model came out, and what differs."""
    console = make_console()
    verdict = "[green]the same model[/]" if rebuilt.is_same else "[red]another model[/]"
    console.print(f"[bold]{escape(name)} version {rebuilt.version}[/] rebuilt from its record: {verdict}")
    console.print(f"  recorded {rebuilt.recorded_hash}\n  rebuilt  {rebuilt.model_hash}")
    for difference in rebuilt.differences:
        console.print(f"  differs: {escape(difference)}", soft_wrap=True)


def _print_figures(manifest: Mapping[str, Any]) -> None:
    rows = {"this version": manifest.get("metrics", {}), **manifest.get("baselines", {})}
    names = [name for name in _HEADS if any(name in figures for figures in rows.values())]
    if not names:
        names = sorted({name for figures in rows.values() for name in figures})[:6]
    table = _table("on its test period", ("", *(_HEADS.get(name, name) for name in names)))
    for label, figures in rows.items():
        table.add_row(label, *(f"{figures[name]:.4f}" if name in figures else "–" for name in names))
    make_console().print(table)


def _print_entry(entry: Mapping[str, Any], *, with_checks: bool) -> None:
    console = make_console()
    colour, word = ("green", "promoted") if entry["promoted"] else ("yellow", "kept out")
    console.print(
        f"{entry['sequence']:>4}  {entry['at'].replace('T', ' ')[:16]}  [bold]{escape(entry['name'])} "
        f"{entry['version']}[/]  [{colour}]{word}[/]  {escape(entry['who'])} ({entry['kind']}): "
        f"{escape(entry['reason'].removeprefix('by hand: '))}",
        soft_wrap=True,
    )
    for check in entry["checks"] if with_checks else ():
        mark = "[green]passed[/]" if check["passed"] else "[red]failed[/]"
        console.print(f"        {mark} {check['name']}: {escape(check['words'])}", soft_wrap=True)


def _print_outside(history: History) -> None:
    for words in history.outside.values():
        make_console().print(f"! {escape(words)}", style="yellow", soft_wrap=True)


def _figures(metrics: Mapping[str, float]) -> str:
    named = [f"{_HEADS[name]} {metrics[name]:.4f}" for name in _FIGURES if name in metrics]
    wape = [
        f"{name.replace('_', ' ')} {value:.4f}" for name, value in sorted(metrics.items()) if name.startswith("wape_")
    ]
    return ", ".join(named or wape[:2])


def _table(title: str, heads: Sequence[str]) -> Table:
    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place == 0 or head in _WORDS else "right", overflow="fold")
    return table


_WORDS = {"kind", "aliases", "by", "figures", "better", "surely", "95 %"}
