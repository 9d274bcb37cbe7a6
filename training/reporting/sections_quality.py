"""The report's chapters on quality: beside the baselines, reliability, by segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from common.page_style import table
from training.reporting.contents import Answer, ReportContents
from training.reporting.markup import figure_cell, folded, percent_cell, picture, signed_cell, soft
from training.reporting.words import percent
from training.segment_bias import SegmentFigures

_FIGURES = {
    "log_loss": ("Log-loss", ".4f"),
    "auc": ("AUC", ".3f"),
    "pr_auc": ("PR-AUC", ".3f"),
    "brier": ("Brier", ".4f"),
    "ece": ("Calibration error", ".4f"),
    "top_decile_lift": ("Top-tenth lift", ".2f"),
}

_NOTES = 6
"""Notes shown at once, the surest first."""


def quality(contents: ReportContents) -> str:
    """Figures on rows the model never saw, beside the baselines, and the paired differences."""
    ours = contents.answers[0].figures
    rows = (
        f"On {int(ours['rows'].value):,} later rows that the model never saw; "
        f"{percent(ours['outcome_rate'].value)} of them had the outcome."
    )
    best = contents.against[0]
    differences = table(
        ["This model less", "Log-loss", "AUC"],
        [
            [
                escape(each.words) + (" <small>the best of them</small>" if each is best else ""),
                signed_cell(each.log_loss),
                signed_cell(each.auc, "+.3f"),
            ]
            for each in contents.against
        ],
    )
    key = (
        "Log-loss, Brier and calibration error: less is better. AUC: 0.5 is a coin, 1 is perfect order. Top-tenth "
        "lift: outcomes among the tenth with the highest probability, over those of as many at random."
    )
    parts = [f"<p>{rows}</p>", _answers(contents.answers, first="Answer"), soft(key)]
    parts += [
        "<h3>Is the difference more than noise?</h3>",
        differences,
        soft("Same rows, same draws. <b>Bold</b>: the whole 95 % interval lies on one side of 0."),
    ]
    if contents.protocols:
        parts.append(folded("On other splits and by stage", _answers(contents.protocols, first="Rows", bold=False)))
    return "".join(parts)


def _answers(answers: Sequence[Answer], *, first: str, bold: bool = True) -> str:
    rows = []
    for place, answer in enumerate(answers):
        name = f"<b>{escape(answer.words)}</b>" if place == 0 and bold else escape(answer.words)
        if not bold:
            name += f"<small>{int(answer.figures['rows'].value):,} rows</small>"
        cells = [figure_cell(answer.figures.get(key), form) for key, (_, form) in _FIGURES.items()]
        rows.append([name, *cells, percent(_value(answer, "mean_probability"))])
    return table([first, *(title for title, _ in _FIGURES.values()), "Expects"], rows)


def _value(answer: Answer, name: str) -> float | None:
    return answer.figures[name].value if name in answer.figures else None


def reliability(contents: ReportContents, pictures: Mapping[str, str]) -> str:
    """Reliability curve, Brier terms, calibration over time, grades."""
    plots = picture(pictures, "reliability", "Reliability.", "On the dashed line, what was expected came.") + picture(
        pictures, "months", "Over time.", "Expected and observed rate by month of scoring."
    )
    bins = table(
        ["Probability", "Expected", "Came", "Rows"],
        [
            [
                f"{percent(each.low)} to {percent(each.high)}",
                percent(each.predicted),
                f"{percent(each.observed)}<small>{percent(each.observed_low)} to {percent(each.observed_high)}</small>",
                f"{each.rows:,}",
            ]
            for each in contents.bins
        ],
    )
    months = table(
        ["Month", "Expected", "Came", "Rows"],
        [
            [
                each.month,
                percent(each.predicted),
                f"{percent(each.observed)}<small>{percent(each.observed_low)} to {percent(each.observed_high)}</small>",
                f"{each.rows:,}",
            ]
            for each in contents.months
        ],
    )
    numbers = folded("The numbers behind the plots", bins + months)
    return f'<div class="pair">{plots}</div>{numbers}{_grades(contents)}{_brier(contents)}'


def _grades(contents: ReportContents) -> str:
    rows = [
        [
            f"<b>{escape(grade.name)}</b>",
            percent(grade.least),
            f"{grade.rows:,}",
            percent(grade.predicted),
            percent_cell(grade.observed),
        ]
        for grade in contents.grades
    ]
    what = "Grade" if contents.task == "lead" else "Risk"
    return f"<h3>{what}s and what came</h3>" + table([what, "From", "Rows", "Expected", "Came"], rows)


def _brier(contents: ReportContents) -> str:
    terms = contents.brier
    rows = [
        ["reliability", f"{terms.reliability:.5f}", f"{terms.reliability_corrected:.5f}",
         "how far percentages lie from what came; 0 is best"],
        ["- resolution", f"{terms.resolution:.5f}", f"{terms.resolution_corrected:.5f}",
         "how far it tells cases apart; more is better"],
        ["+ uncertainty", f"{terms.uncertainty:.5f}", f"{terms.uncertainty_corrected:.5f}",
         "the score of always answering the rate itself"],
        ["+ within bins", f"{terms.within:.5f}", "", "what ten bins do not see"],
        ["<b>= Brier score</b>", f"<b>{terms.brier:.5f}</b>", "", "mean squared gap of probability and outcome"],
    ]  # fmt: skip
    return (
        "<h3>The Brier score, taken apart</h3>"
        + table(["Term", "Measured", "Less noise", "What it is"], rows, whole=("What it is",))
        + soft(
            "Murphy 1973, over ten bins of equally many rows. In few rows noise passes for bad reliability and for "
            "resolution; “less noise” takes its expected size away (Ferro and Fricker 2012)."
        )
    )


def segments(contents: ReportContents) -> str:
    """Figures by segment with the bias notes first."""
    if not contents.segments:
        return ""
    noted = {(each.note.kind, each.note.segment) for each in contents.notes}
    told_notes = [f'<p class="note">{escape(_capital(each.sentence))}</p>' for each in contents.notes]
    notes = "".join(told_notes[:_NOTES])
    if len(told_notes) > _NOTES:
        notes += folded(f"{len(told_notes) - _NOTES} more notes", "".join(told_notes[_NOTES:]))
    if not notes:
        notes = "<p>No segment is served worse than the rest beyond noise.</p>"
    parts = [notes]
    for number, (kind, figures) in enumerate(contents.segments.items()):
        told = any(name == kind for name, _ in noted)
        body = _segment_table(kind, figures, {name for of, name in noted if of == kind})
        title = f"{_capital(kind)}: {len(figures)} segments"
        is_open = " open" if told or number == 0 else ""
        parts.append(f"<details{is_open}><summary>{escape(title)}</summary>{body}</details>")
    key = (
        "Gap: points that came above (+) or below (-) what was expected. A note needs a difference from all other rows "
        "that chance would show in at most 2 of 100 trainings, over all segments together. Too few: fewer than 20 with "
        "or without the outcome."
    )
    return "".join(parts) + soft(key)


def _segment_table(kind: str, figures: Sequence[SegmentFigures], noted: set[str]) -> str:
    rows = []
    for each in figures:
        gap = f"{100 * each.gap.value:+.1f}"
        if each.gap.low is not None and each.gap.high is not None:
            gap += f"<small>{100 * each.gap.low:+.1f} to {100 * each.gap.high:+.1f}</small>"
        name = escape(each.name)
        rows.append(
            [
                f'<b class="unsure">{name}</b><small>served worse</small>' if each.name in noted else name,
                f"{each.rows:,}",
                percent_cell(each.rate),
                percent(each.predicted),
                gap,
                figure_cell(each.auc, ".2f") if each.auc else "too few",
                figure_cell(each.log_loss) if each.log_loss else "too few",
            ]
        )
    return table([_capital(kind), "Rows", "Came", "Expected", "Gap, points", "AUC", "Log-loss"], rows)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
