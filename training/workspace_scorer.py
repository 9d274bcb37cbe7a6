"""A bundle's scorer as a workspace uses it: graded by its own thresholds, with trends since its last batch."""

from __future__ import annotations

from pathlib import Path

from common.workspace import Workspace
from training.grades import own_grades
from training.scorer import Scorer
from training.trend import WeekAgoFile


def scorer_of(workspace: Workspace, task: str, bundle: Path, *, threads: int = 1) -> Scorer:
    """A bundle's scorer as a workspace uses it: graded by its own thresholds, with trends since its last batch.

    Args:
        workspace: The workspace.
        task: `lead` or `deal`.
        bundle: Folder of the bundle.
        threads: Threads for batches.

    Raises:
        InputError: if the workspace's grades cannot be used.
    """
    scorer = Scorer.load(bundle, threads=threads)
    adopt(scorer, workspace, task)
    return scorer


def adopt(scorer: Scorer, workspace: Workspace, task: str) -> None:
    """Let a loaded scorer grade and tell trends as the workspace does; see `scorer_of`."""
    grades = own_grades(workspace, task)
    if grades is not None:
        scorer.use_thresholds(grades)
    scorer.week_ago = WeekAgoFile(scores_file(workspace, task), task)


def scores_file(workspace: Workspace, task: str) -> Path:
    """Where the newest batch of a task lies."""
    return workspace.scores / f"{task}.parquet"
