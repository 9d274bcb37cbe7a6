"""The facts of a run: the search for the model, earlier cut-offs, what it was, and how to make it anew."""

from __future__ import annotations

import numpy as np

from training.backtest import BacktestWindow
from training.classifier import Developed
from training.reporting.contents import BacktestPoint, Kind, StudyFacts
from training.reporting.inputs import ReportInputs
from training.reporting.words import known
from training.resampling import count_distinct
from training.study import StudyResult


def backtest_point(window: BacktestWindow) -> BacktestPoint:
    """One earlier cut-off."""
    return BacktestPoint(
        cutoff=window.cutoff.isoformat(),
        end=window.end.isoformat(),
        past_rows=window.past_rows,
        rows=window.rows,
        calibration=window.calibration,
        figures=known(window.metrics),
        baselines={name: known(figures) for name, figures in window.baselines.items()},
    )


def study_facts(study: StudyResult, developed: Developed) -> StudyFacts:
    """What each kind of model reached, and the calibration methods compared."""
    kinds = []
    for library in dict.fromkeys(trial.library for trial in study.trials):
        trials = [trial for trial in study.trials if trial.library == library]
        losses = [trial.log_loss for trial in trials if trial.log_loss is not None]
        kinds.append(
            Kind(
                library=library,
                trials=len(trials),
                pruned=sum(trial.state == "pruned" for trial in trials),
                best_log_loss=min(losses) if losses else None,
                seconds=sum(trial.seconds for trial in trials),
                is_winner=library == study.library,
            )
        )
    return StudyFacts(
        kinds=tuple(sorted(kinds, key=lambda kind: (kind.best_log_loss is None, kind.best_log_loss))),
        trials=len(study.trials),
        reused=study.reused,
        params={name: _brief(value) for name, value in study.params.items()},
        calibrations={name: loss for name, loss in developed.calibration_losses.items() if np.isfinite(loss)},
        calibration=developed.calibration.method,
    )


def run_facts(inputs: ReportInputs) -> dict[str, str]:
    """The run in a few lines, by name."""
    context, partition, developed = inputs.context, inputs.partition, inputs.developed
    thing = "leads" if context.recipe.task == "lead" else "deals"
    tested = count_distinct(inputs.entity)
    facts = {
        "Source": f"{inputs.source}, known until {context.cut:%Y-%m-%d %H:%M} UTC",
        "Question": f"does the {thing[:-1]} {'convert' if thing == 'leads' else 'close as won'} within "
        f"{context.recipe.horizon_days} days?",
        "Split": partition.about,
        "Rows": f"{len(partition.past):,} to train, {len(partition.test):,} of {tested:,} {thing} to test",
        "Model": f"{developed.model.library}"
        + (f", {developed.model.rounds} rounds" if developed.model.rounds else "")
        + f", {len(developed.entries)} features of {context.recipe.feature_service}",
        "Calibration": developed.calibration.method,
        "Frame": developed.fingerprint,
    }
    if inputs.versions:
        facts["Versions"] = ", ".join(f"{name} {version}" for name, version in inputs.versions.items())
    return facts


def rebuild_commands(inputs: ReportInputs) -> tuple[str, ...]:
    """Commands that make the model anew from its record, or train on the same past with the same seed."""
    context = inputs.context
    task, source = context.recipe.task, inputs.source
    return (
        "# The same model again, from its record; VERSION is the number in this file's name:",
        f".venv/bin/salience models rebuild VERSION --model {task} --source {source}",
        "# Or the same training, with what was known then:",
        f"SALIENCE_AS_OF={context.cut.isoformat()} SALIENCE_TRAINING__SEED={context.settings.training.seed} "
        f".venv/bin/salience train {task} --source {source} --trials {context.trials}",
    )


def _brief(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
