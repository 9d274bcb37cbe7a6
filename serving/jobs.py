"""Jobs: files of ids that a process of its own scores beside the requests, with progress and a result to fetch.

A job is a folder: the file as it came, `job.json` with its state, one Parquet part per chunk that is done, and at the
end the result. A killed process is taken up again from the last part; a job is never half done and called done.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from common.errors import NotFoundError, UnavailableError
from common.settings import Settings
from common.whole_files import write_whole
from common.workspace import Workspace
from serving.beside import ProcessBeside

Status = Literal["waiting", "running", "done", "failed"]
MOST_WAITING = 100
_STATE, _LOCK = "job.json", ".runner"
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job's state.

    Args:
        job_id: Its id.
        task: `lead` or `deal`.
        format: `csv` or `parquet`: what came.
        status: `waiting`, `running`, `done` or `failed`.
        submitted_at: When it came, ISO 8601 UTC.
        submitted_by: Who sent it.
        rows: Rows of the file; None until they are counted.
        rows_done: Rows scored, or found to be unknown.
        not_found: Rows whose id the feature store does not know.
        model_version: Version that scores; None before it began.
        finished_at: When it was done or failed.
        problem: Why it failed, and what to do.
    """

    job_id: str
    task: str
    format: Literal["csv", "parquet"]
    status: Status
    submitted_at: str
    submitted_by: str
    rows: int | None = None
    rows_done: int = 0
    not_found: int = 0
    model_version: str | None = None
    finished_at: str | None = None
    problem: str | None = None


class JobStore:
    """The jobs of a workspace.

    Args:
        workspace: Whose.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.folder = workspace.root / "jobs"

    def begin(self, task: str, *, form: Literal["csv", "parquet"], by: str) -> tuple[Job, Path]:
        """A new job and the file to write what comes to; `submit` it when the file is whole.

        Raises:
            UnavailableError: if too many jobs wait.
        """
        if sum(job.status in ("waiting", "running") for job in self.all()) >= MOST_WAITING:
            raise UnavailableError(f"{MOST_WAITING} jobs wait already", next_step="wait until some are done")
        job = Job(
            job_id=uuid.uuid4().hex,
            task=task,
            format=form,
            status="waiting",
            submitted_at=datetime.now(UTC).isoformat(),
            submitted_by=by,
        )
        home = self.folder / job.job_id
        home.mkdir(parents=True)
        return job, self.input_of(job)

    def input_of(self, job: Job) -> Path:
        """The file of ids."""
        return self.folder / job.job_id / f"input.{job.format}"

    def parts_of(self, job: Job) -> Path:
        """Folder of the chunks that are done."""
        return self.folder / job.job_id / "parts"

    def result_of(self, job: Job) -> Path:
        """The result, as Parquet."""
        return self.folder / job.job_id / "result.parquet"

    def save(self, job: Job) -> Job:
        """Keep a state; a job that was cancelled meanwhile stays gone."""
        if (self.folder / job.job_id).is_dir():
            write_whole(self.folder / job.job_id / _STATE, json.dumps(asdict(job), indent=1))
        return job

    def get(self, job_id: str) -> Job:
        """A job's state.

        Raises:
            NotFoundError: if there is none of that id.
        """
        path = self.folder / job_id / _STATE
        # An id comes from outside and becomes a path.
        if not _ID.fullmatch(job_id) or not path.is_file():
            raise NotFoundError(f"There is no job '{job_id}'", field="job_id")
        return Job(**json.loads(path.read_text(encoding="utf-8")))

    def all(self) -> list[Job]:
        """All jobs, the first that came first."""
        found = []
        for path in self.folder.glob(f"*/{_STATE}") if self.folder.is_dir() else ():
            try:
                found.append(Job(**json.loads(path.read_text(encoding="utf-8"))))
            except FileNotFoundError:
                # Cancelled just now.
                continue
        return sorted(found, key=lambda job: (job.submitted_at, job.job_id))

    def cancel(self, job_id: str) -> None:
        """Forget a job, its file and its result; one that runs stops at its next chunk."""
        job = self.get(job_id)
        shutil.rmtree(self.folder / job.job_id, ignore_errors=True)

    def drop_unfinished(self, job: Job) -> None:
        """Forget a job whose file did not come whole."""
        shutil.rmtree(self.folder / job.job_id, ignore_errors=True)

    def is_wanted(self, job: Job) -> bool:
        """Whether nobody has cancelled it."""
        return (self.folder / job.job_id / _STATE).is_file()

    def next(self) -> Job | None:
        """The job to work on: the first that waits or was left running."""
        return next((job for job in self.all() if job.status in ("waiting", "running")), None)

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Whether this process is the one that works on jobs, for as long as the block lasts."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True


class JobStarter:
    """Starts the process that works on jobs, where none does.

    Args:
        settings: What that process is to read.
        workspace: Whose jobs.
    """

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self.store = JobStore(workspace)
        self._beside = ProcessBeside("serving.job_runner", settings, workspace)

    def start(self) -> None:
        """Start it if there is work and nobody is at it."""
        if self._beside.is_running or self.store.next() is None:
            return
        with self.store.turn() as is_free:
            if not is_free:
                return
        self._beside.start(self.store.folder / "runner.log")

    def stop(self) -> None:
        """End it; what is done of its job is kept."""
        self._beside.stop()


def finished(job: Job, status: Status, *, problem: str | None = None) -> Job:
    """The job at its end."""
    return replace(job, status=status, problem=problem, finished_at=datetime.now(UTC).isoformat())
