"""The training report: one HTML file that needs nothing else, the verdict in words first."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.probes import Finding
from training.results import Metric
from training.study import Trial

_COLUMNS = ("auc", "pr_auc", "log_loss", "brier", "ece", "top_decile_lift", "mean_probability")
_HEADS = {
    "auc": "AUC",
    "pr_auc": "PR-AUC",
    "log_loss": "Log-loss",
    "brier": "Brier",
    "ece": "Calibration error",
    "top_decile_lift": "Top-tenth lift",
    "mean_probability": "Mean probability",
}
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --soft: #5b6472; --line: #d9dde3; --page: #ffffff; --card: #f5f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaee; --soft: #a2abb8; --line: #3a414c; --page: #14171c; --card: #1e232a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 62rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--page); }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); font-size: .9rem; }
.verdict { background: var(--card); border-left: 4px solid #2a78d6; padding: .8rem 1rem; border-radius: 4px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; min-width: 100%; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr.ours td { font-weight: 600; }
td small { display: block; font-weight: 400; color: var(--soft); }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
.plots img { width: 100%; background: #ffffff; border-radius: 6px; }
"""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the page shows.

    Args:
        title: Headline.
        verdict: Sentences that say whether the model is any good, what the gate will look at, and what to mind.
        facts: Short facts under the headline, by name.
        metrics: The model's figures on the test period.
        baselines: The same figures of the naive answers.
        protocols: The same figures on further protocols.
        findings: What the leak probes found.
        trials: Trials of the study.
        plots: PNG files, by caption.
    """

    title: str
    verdict: Sequence[str]
    facts: Mapping[str, str]
    metrics: Mapping[str, Metric]
    baselines: Mapping[str, Mapping[str, Metric]]
    protocols: Mapping[str, Mapping[str, Metric]] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    trials: Sequence[Trial] = ()
    plots: Mapping[str, Path] = field(default_factory=dict)


def write_report(report: Report, path: Path) -> Path:
    """Write the page."""
    parts = [
        f"<h1>{html.escape(report.title)}</h1>",
        "<div class='verdict'>" + "".join(f"<p>{html.escape(line)}</p>" for line in report.verdict) + "</div>",
        _facts(report.facts),
        "<h2>On the test period, beside the naive answers</h2>",
        _table({"this model": report.metrics, **report.baselines}, ours="this model"),
        "<p class='soft'>Small print: 95 % interval, resampled by lead or deal. "
        "Lower is better for log-loss, Brier and calibration error.</p>",
    ]
    if report.protocols:
        parts += ["<h2>By protocol</h2>", _table(report.protocols, ours="")]
    parts += ["<h2>Plots</h2>", _plots(report.plots), "<h2>Leak probes</h2>", _findings(report.findings)]
    if report.trials:
        parts += ["<h2>Study</h2>", _trials(report.trials)]
    page = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(report.title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _facts(facts: Mapping[str, str]) -> str:
    return "".join(f"<p class='soft'>{html.escape(name)}: {html.escape(value)}</p>" for name, value in facts.items())


def _table(rows: Mapping[str, Mapping[str, Metric]], *, ours: str) -> str:
    heads = "".join(f"<th>{_HEADS[name]}</th>" for name in _COLUMNS)
    body = ""
    for label, metrics in rows.items():
        cells = "".join(f"<td>{_cell(metrics.get(name))}</td>" for name in _COLUMNS)
        mark = " class='ours'" if label == ours else ""
        count = int(metrics["rows"].value) if "rows" in metrics else 0
        rate = f", outcome {100 * metrics['outcome_rate'].value:.1f} %" if "outcome_rate" in metrics else ""
        body += f"<tr{mark}><td>{html.escape(label)}<small>{count:,} rows{rate}</small></td>{cells}</tr>"
    return f"<div class='wide'><table><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(metric: Metric | None) -> str:
    if metric is None or metric.value != metric.value:
        return "-"
    if metric.low is None or metric.high is None:
        return f"{metric.value:.4f}"
    return f"{metric.value:.4f}<small>{metric.low:.4f} to {metric.high:.4f}</small>"


def _plots(plots: Mapping[str, Path]) -> str:
    images = ""
    for caption, path in plots.items():
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        images += f"<img alt='{html.escape(caption)}' src='data:image/png;base64,{data}'>"
    return f"<div class='plots'>{images}</div>"


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return "<p>No field ranks the outcomes too well, and none is filled for one outcome only.</p>"
    return "".join(f"<p><b>{finding.severity}</b>: {html.escape(finding.evidence)}.</p>" for finding in findings)


def _trials(trials: Sequence[Trial]) -> str:
    rows = "".join(
        f"<tr><td>{trial.number} {html.escape(trial.library)}</td><td>{trial.state}</td>"
        f"<td>{'-' if trial.log_loss is None else f'{trial.log_loss:.5f}'}</td><td>{trial.rounds or '-'}</td>"
        f"<td>{trial.seconds:.1f} s</td></tr>"
        for trial in trials
    )
    head = "<tr><th>Trial</th><th>State</th><th>Log-loss</th><th>Rounds</th><th>Time</th></tr>"
    return f"<div class='wide'><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
