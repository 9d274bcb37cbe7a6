"""The study: Optuna over the kinds of model, judged on several later slices of the past, pruned, resumable, shared.

What a trial does is in `training.trial`, which of them wins in `training.choosing`. The newest slice comes first;
successive halving ends a trial that is in the worse half of those that have seen as many slices, but never the first
trial of a kind: each kind is there to be compared and blended.

The journal file is named by the model; the study in it by the training frame's fingerprint, so that a second run on the
same frame goes on where the first one ended, and a new frame starts afresh. Every trial draws from a seed of its place,
so a study that was killed and goes on tries what it would have tried. Several processes may work on one study; one that
is killed loses its trial and nothing else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.choosing import Tried, choose_candidates
from training.models import FitData
from training.search import FIRST_TRIALS, SEARCH_VERSION, Candidate, Kind
from training.trial import run_trial
from training.workers import working_together

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]

TRIAL_ROWS = 20_000
_STARTUP_TRIALS = 6
# Workers draw from seeds of their own.
_WORKER_SEEDS = 10_000


@dataclass(frozen=True)
class Trial:
    """One trial, as the report shows it."""

    number: int
    state: Literal["complete", "pruned", "failed"]
    library: str
    log_loss: float | None
    rounds: int | None
    seconds: float
    params: dict[str, Any]


@dataclass(frozen=True)
class StudyResult:
    """The study's winner, and what else came of it.

    Args:
        library: Kind of the chosen trial; see `training.choosing`.
        params: Its parameters.
        rounds: Rounds that were best; 0 where there are none.
        log_loss: Its shifted log-loss on the later slices.
        trials: All trials, those of earlier runs too.
        reused: Trials that an earlier run had already made.
        best_of: The chosen trial of each kind that has one, the winner first.
        stopped: Why the study ended before its last trial, in words; "" where it did not.
    """

    library: Kind
    params: dict[str, Any]
    rounds: int
    log_loss: float
    trials: tuple[Trial, ...]
    reused: int
    best_of: tuple[Candidate, ...] = ()
    stopped: str = ""


def run_study(
    slices: Sequence[FitData],
    *,
    journal: Path,
    fingerprint: str,
    trials: int,
    threads: int,
    seed: int,
    workers: int = 1,
    time_budget_minutes: float | None = None,
    progress: Progress | None = None,
) -> StudyResult:
    """Search all kinds for the least log-loss on later slices of the past.

    With several workers, or another command on the same journal, trials are made side by side. What each tries then
    depends on which others had ended, so the parameters may differ from a lone worker's; the result is always the best
    of the first `trials` that ended, by number.

    Args:
        slices: Rows to fit on and the later rows that judge, newest slice first. Beyond 20 000 rows of either, trials
            see a random part.
        journal: Journal file; made if missing.
        fingerprint: Digest of the frame, names the study.
        trials: Trials the study shall have in all; those already in the journal count.
        threads: Threads of all fits together.
        seed: Seed of the sampler and of every fit.
        workers: Processes that make trials.
        time_budget_minutes: When to start no further trial and end the running one; one trial is always completed.
        progress: Told (what, done, total) after each trial.
    """
    if not slices or any(data.stop_label is None for data in slices):
        raise ValueError("A study needs later rows that judge.")
    deadline = None if time_budget_minutes is None else time.time() + 60.0 * time_budget_minutes
    parts = tuple(_part(data, seed=seed + at) for at, data in enumerate(slices))
    study = open_study(journal, fingerprint)
    reused = min(_finished(study), trials)
    for first in FIRST_TRIALS[:trials] if reused < trials else ():
        study.enqueue_trial(first, skip_if_exists=True)
    share = max(1, threads // workers)
    work = _Work(journal, fingerprint, parts, trials, share, seed, deadline)
    with working_together(work, workers - 1 if reused < trials else 0):
        make_trials(study, work, progress=progress)
    return _result(study, trials=trials, reused=reused)


@dataclass(frozen=True)
class _Work:
    """What a worker needs to make trials."""

    journal: Path
    fingerprint: str
    slices: tuple[FitData, ...]
    trials: int
    threads: int
    seed: int
    deadline: float | None


def open_study(journal: Path, fingerprint: str) -> Any:
    """The study of a frame in a journal; made if missing."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    return optuna.create_study(
        study_name=f"{fingerprint}-{SEARCH_VERSION}",
        storage=storage,
        load_if_exists=True,
        direction="minimize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    )


def make_trials(study: Any, work: _Work, *, worker: int = 0, progress: Progress | None = None) -> None:
    """Make trials until the study has as many as it shall have, or its time is over."""
    import optuna

    while (done := _finished(study)) < work.trials and not (_is_over(work) and _has_result(study)):
        study.sampler = optuna.samplers.TPESampler(
            seed=work.seed + done + _WORKER_SEEDS * worker, n_startup_trials=_STARTUP_TRIALS, constant_liar=worker > 0
        )
        study.optimize(lambda trial: _objective(trial, work, must_end=_has_result(study)), n_trials=1)
        if progress is not None:
            progress("tuning", min(_finished(study), work.trials), work.trials)


def _objective(trial: Any, work: _Work, *, must_end: bool) -> float:
    import optuna

    def watch(_: int, __: float) -> None:
        if must_end and _is_over(work):
            raise optuna.TrialPruned

    return run_trial(trial, work.slices, threads=work.threads, seed=work.seed, watch=watch)


def _is_over(work: _Work) -> bool:
    return work.deadline is not None and time.time() > work.deadline


def _finished(study: Any) -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _has_result(study: Any) -> bool:
    from optuna.trial import TrialState

    return bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _part(data: FitData, *, seed: int) -> FitData:
    """A random part of the rows that train, in their order; the rows that judge likewise."""
    generator = np.random.default_rng(seed)
    train = _draw(generator, len(data.label))
    stop_label = data.stop_label if data.stop_label is not None else data.label
    stop = _draw(generator, len(stop_label))
    stop_matrix = None if data.stop_matrix is None else data.stop_matrix[stop]
    return replace(
        data,
        matrix=data.matrix[train],
        label=data.label[train],
        age_days=None if data.age_days is None else data.age_days[train],
        weight=None if data.weight is None else data.weight[train],
        stop_matrix=stop_matrix,
        stop_label=stop_label[stop],
    )


def _draw(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
    if count <= TRIAL_ROWS:
        return np.arange(count)
    return np.sort(generator.choice(count, TRIAL_ROWS, replace=False))


def _result(study: Any, *, trials: int, reused: int) -> StudyResult:
    from optuna.trial import TrialState

    every = study.get_trials(deepcopy=False)
    finished = [trial for trial in every if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)][:trials]
    complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
    chosen = choose_candidates([_tried(trial) for trial in complete])
    best = chosen[0]
    stopped = (
        "" if len(finished) >= trials else f"the time budget ended the study after {len(finished)} of {trials} trials"
    )
    if stopped:
        logger.warning("%s", stopped)
    return StudyResult(
        library=best.kind,
        params=dict(best.params),
        rounds=best.rounds,
        log_loss=best.log_loss,
        trials=tuple(_trial(trial) for trial in every if trial.state.is_finished()),
        reused=reused,
        best_of=chosen,
        stopped=stopped,
    )


def _tried(trial: Any) -> Tried:
    candidate = Candidate(
        kind=trial.params["library"],
        params=dict(trial.user_attrs["params"]),
        rounds=int(trial.user_attrs["rounds"]),
        log_loss=float(trial.value),
    )
    is_first = trial.number < len(FIRST_TRIALS)
    return Tried(candidate=candidate, blocks=np.array(trial.user_attrs["blocks"]), is_first=is_first)


def _trial(trial: Any) -> Trial:
    states: dict[str, Literal["complete", "pruned", "failed"]] = {"COMPLETE": "complete", "PRUNED": "pruned"}
    values = list(trial.intermediate_values.values())
    value = trial.value if trial.value is not None else (values[-1] if values else None)
    return Trial(
        number=trial.number,
        state=states.get(trial.state.name, "failed"),
        library=str(trial.params.get("library", "")),
        log_loss=None if value is None else float(value),
        rounds=trial.user_attrs.get("rounds"),
        seconds=trial.duration.total_seconds() if trial.duration else 0.0,
        params={name.split("_", 1)[1]: v for name, v in trial.params.items() if name != "library"},
    )
