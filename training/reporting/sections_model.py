"""The report's chapters on the model: what it reads, leak probes, backtest, study, run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

from common.page_style import table
from training.reporting.contents import Kind, Leak, Part, ReportContents
from training.reporting.markup import bar, figure_cell, folded, picture, soft
from training.reporting.words import percent

_SHOWN = 20
_KINDS = {
    "lightgbm": "LightGBM trees",
    "xgboost": "XGBoost trees",
    "linear": "regularised logistic regression",
    "logistic": "regularised logistic regression",
    "blend": "blend of the best",
    "scorecard": "scorecard of own making",
}

_AGREEMENT: dict[str, tuple[str, Callable[[float], str]]] = {
    "top_theme": ("the strongest theme is the same", percent),
    "top_feature": ("the feature that speaks for it is the same", percent),
    "sign_of_top_three": ("the three strongest themes point the same way", percent),
    "greatest_error": ("greatest difference in log-odds of a theme", "{:.2g}".format),
}


def importance(contents: ReportContents, pictures: Mapping[str, str]) -> str:
    """Importance and direction by theme, group and feature; rates along the most important features."""
    if not contents.features:
        return "<p>The model reads nothing that differs from row to row.</p>"
    plots = "".join(
        picture(pictures, f"shape{number}", f"{shape.about}.", shape.name)
        for number, shape in enumerate(contents.shapes)
    )
    features = table(
        ["Feature", "Share", "Direction", "Theme"],
        [
            [
                f"{escape(part.about)}<small><code>{escape(part.name)}</code></small>",
                bar(part.share),
                escape(part.direction),
                escape(part.theme),
            ]
            for part in contents.features[:_SHOWN]
        ],
        words=("Direction", "Theme"),
    )
    rest = len(contents.features) - _SHOWN
    more = soft(f"{rest} more features share the rest; they stand in the JSON file.") if rest > 0 else ""
    key = (
        "Share of what moves the answers (mean absolute contribution to the log-odds, Shapley values of test rows). "
        "A theme's or group's features are added up first; the direction is its strongest feature's."
    )
    return (
        f"<h3>By theme, as reasons are told</h3>{_parts('Theme', contents.themes)}"
        f"{folded('By group of features', _parts('Group', contents.groups))}"
        f"{folded('By feature', features + more)}{soft(key)}"
        f'<h3>Along the most important features</h3><div class="pair">{plots}</div>{_shape_numbers(contents)}'
        f"{_reasons(contents)}"
    )


def _parts(title: str, parts: Sequence[Part]) -> str:
    rows = [
        [f"{escape(part.name)}<small>{escape(part.about)}</small>", bar(part.share), escape(part.direction)]
        for part in parts
    ]
    return table([title, "Share", "Strongest in it"], rows, whole=("Strongest in it",))


def _shape_numbers(contents: ReportContents) -> str:
    body = ""
    for shape in contents.shapes:
        rows = [
            [
                escape(each.label),
                percent(each.predicted),
                f"{percent(each.observed)}<small>{percent(each.observed_low)} to {percent(each.observed_high)}</small>",
                f"{each.rows:,}",
            ]
            for each in shape.bins
        ]
        body += f"<h3><code>{escape(shape.name)}</code></h3>" + table(["Value", "Expected", "Came", "Rows"], rows)
    return folded("The numbers behind these plots", body) if body else ""


def _reasons(contents: ReportContents) -> str:
    if not contents.reasons:
        return ""
    rows = [
        [escape(words), form(contents.reasons[name])]
        for name, (words, form) in _AGREEMENT.items()
        if name in contents.reasons
    ]
    count = contents.reasons.get("rows", 0.0)
    return (
        "<h3>Do the fast reasons agree with the exact ones?</h3>"
        + table(["Measured", "Value"], rows)
        + soft(f"On {count:,.0f} rows: the reasons in every answer come from tables, the exact ones from the library.")
    )


def leaks(contents: ReportContents) -> str:
    """What the probes found, with who accepted what."""
    if not contents.leaks:
        return "<p>No field seems to know the outcome.</p>"
    rows = [
        [
            f"<code>{escape(leak.feature)}</code>",
            f'<span class="{"bad" if leak.severity == "certain" else "unsure"}">{leak.severity}</span>',
            f"{escape(leak.evidence)}<small>{escape(_to_do(leak))}</small>",
        ]
        for leak in contents.leaks
    ]
    return table(["Field", "How sure", "What was found"], rows, whole=("What was found",), words=("How sure",))


def _to_do(leak: Leak) -> str:
    if leak.accepted_by is None:
        return f"What to do: {leak.advice}"
    return f"Accepted by {leak.accepted_by} on {(leak.accepted_at or '')[:10]}: {leak.accepted_why}"


def backtest(contents: ReportContents, pictures: Mapping[str, str]) -> str:
    """The same recipe at earlier cutoffs."""
    if not contents.backtest:
        return ""
    rows = [
        [
            f"{escape(each.cutoff[:10])}<small>to {escape(each.end[:10])}</small>",
            f"{each.rows:,}<small>{each.past_rows:,} trained</small>",
            figure_cell(each.figures.get("log_loss"), ".4f"),
            figure_cell(each.baselines.get("const", {}).get("log_loss"), ".4f"),
            figure_cell(each.figures.get("auc")),
            figure_cell(each.figures.get("ece"), ".4f"),
        ]
        for each in contents.backtest
    ]
    numbers = table(["Tested from", "Rows", "Log-loss", "Base rate's", "AUC", "Calibration error"], rows)
    intro = (
        "<p>The recipe, trained with what was known at each earlier moment and tested on what came next: a lucky or "
        "unlucky test period would show here.</p>"
    )
    plot = picture(pictures, "backtest", "Log-loss by cutoff.", "Less is better.")
    note = soft(
        "The parameters were chosen on this past, so these windows flatter a little; the test period above does not."
    )
    return f'{intro}{numbers}<div class="pair">{plot}<div>{note}</div></div>'


def study(contents: ReportContents) -> str:
    """What each kind of model reached, and the calibration methods compared."""
    found = contents.study
    kinds = table(
        ["Kind of model", "Best log-loss", "Trials", "Stopped early", "Time"],
        [
            [
                (f"<b>{_kind(kind.library)}</b><small>chosen</small>" if kind.is_winner else _kind(kind.library)),
                _loss(kind),
                f"{kind.trials:,}",
                f"{kind.pruned:,}",
                f"{kind.seconds:,.0f} s",
            ]
            for kind in found.kinds
        ],
    )
    methods = table(
        ["Calibration", "Log-loss forward in time"],
        [
            [
                f"<b>{escape(name)}</b><small>chosen</small>" if name == found.calibration else escape(name),
                f"{loss:.5f}",
            ]
            for name, loss in sorted(found.calibrations.items(), key=lambda pair: pair[1])
        ],
    )
    reused = f", {found.reused} of them made earlier" if found.reused else ""
    params = ", ".join(f"{name} {value}" for name, value in found.params.items())
    return (
        f"<p>{found.trials} trials{reused}, judged on later parts of the past, never on the test rows.</p>"
        f"{kinds}"
        f"{soft(f'Chosen parameters: {escape(params)}') if params else ''}"
        f"{methods if found.calibrations else ''}"
        + soft("A calibration method with more parameters has to be better by a margin, or the simpler one stays.")
    )


def _loss(kind: Kind) -> str:
    if kind.best_log_loss is None:
        return ""
    return f"{kind.best_log_loss:.5f}" + ("<small>when stopped</small>" if kind.pruned == kind.trials else "")


def _kind(library: str) -> str:
    return escape(_KINDS.get(library, library.replace("_", " ")))


def run(contents: ReportContents) -> str:
    """The run's facts and how to make the model anew."""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in contents.facts.items())
    commands = escape("\n".join(contents.rebuild))
    return f'<dl class="facts">{facts}</dl><h3>To make it anew</h3><pre><code>{commands}</code></pre>'
