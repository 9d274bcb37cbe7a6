"""Routes of jobs: a file in, progress, a result out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, Field, StringConstraints
from starlette.requests import ClientDisconnect

from common.errors import InputError, SalienceError, UnavailableError
from serving.access import SCOPED, ForbiddenError
from serving.asking import asker_of, in_lane, problems
from serving.jobs import Job, JobStarter

MAX_FILE_BYTES = 4 * 2**30
PARQUET = "application/vnd.apache.parquet"
_FORMATS: dict[str, Literal["csv", "parquet"]] = {"text/csv": "csv", PARQUET: "parquet"}
_ROWS_PER_PIECE = 5_000

jobs = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=problems(404))
JobId = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class NotFinishedError(SalienceError):
    """A job's result is asked for before there is one."""

    http_status = 409
    title = "Not finished"


class JobState(BaseModel):
    """A job and how far it is."""

    job_id: str = Field(description="Its id.", examples=["0f8fad5bd9cb469fa16570867728950e"])
    task: str = Field(description="lead or deal.")
    status: Literal["waiting", "running", "done", "failed"] = Field(description="Where it is.")
    progress: float | None = Field(
        ge=0, le=1, description="Share of the rows that is done; null until they are counted."
    )
    rows: int | None = Field(description="Rows of the file; null until they are counted.")
    rows_done: int = Field(description="Rows that were worked on.")
    not_found: int = Field(description="Rows whose id the feature store does not know; they are not in the result.")
    model_version: str | None = Field(description="Version of the model that scores; null before it began.")
    submitted_at: datetime = Field(description="When it came, UTC.")
    finished_at: datetime | None = Field(description="When it was done or failed, UTC; null before.")
    problem: str | None = Field(description="Why it failed and what to do; null where it did not.")
    request_id: str = Field(description="Id of the request, also in the header X-Request-ID.")


@jobs.post(
    "",
    status_code=202,
    summary="Score a file",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "text/csv": {"schema": {"type": "string", "examples": ["lead_id\nL-000123\nL-000124\n"]}},
                PARQUET: {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def submit_job(
    request: Request,
    task: Annotated[Literal["lead", "deal"], Query(description="What the file lists.", examples=["lead"])],
) -> JobState:
    """Score every lead or deal of a CSV or Parquet file with a column `lead_id` or `opportunity_id`.

    The file may have any number of rows (4 GB at most). It is scored, with reasons, by a process beside the service;
    ask for its progress, then fetch the result.
    """
    _require_unscoped(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORMATS:
        raise InputError(
            "The file is of a kind that is not read", expected=" or ".join(_FORMATS), got=kind or "no Content-Type"
        )
    starter: JobStarter = request.app.state.jobs
    caller = asker_of(request).caller.name
    job, path = starter.store.begin(task, form=_FORMATS[kind], by=caller)
    try:
        await _receive(request, path)
    except BaseException:
        starter.store.drop_unfinished(job)
        raise
    starter.store.save(job)
    await in_lane(request, "compute", starter.start)
    return _state(job, request)


@jobs.get("/{job_id}", summary="How far a job is")
async def get_job(request: Request, job_id: JobId) -> JobState:
    """A job's progress."""
    _require_unscoped(request)
    starter: JobStarter = request.app.state.jobs
    return _state(starter.store.get(job_id), request)


@jobs.get(
    "/{job_id}/result",
    summary="Fetch a job's result",
    response_class=Response,
    responses={
        **problems(404, 409),
        200: {
            "description": "The scores, one row per id that was found.",
            "content": {
                PARQUET: {"schema": {"type": "string", "format": "binary"}},
                "text/csv": {"schema": {"type": "string"}},
            },
        },
    },
)
async def get_job_result(
    request: Request,
    job_id: JobId,
    form: Annotated[
        Literal["parquet", "csv"], Query(alias="format", description="Form of the result.", examples=["parquet"])
    ] = "parquet",
) -> Any:
    """The scores of a finished job, as Parquet or CSV."""
    _require_unscoped(request)
    starter: JobStarter = request.app.state.jobs
    job = starter.store.get(job_id)
    path = starter.store.result_of(job)
    if job.status == "failed":
        raise InputError(job.problem or "The job failed", field="job_id")
    if job.status != "done" or not path.is_file():
        raise NotFinishedError(
            f"The job is {job.status}: {job.rows_done} of {job.rows or 'as yet uncounted'} rows",
            next_step=f"ask GET /api/v1/jobs/{job_id} until it is done",
        )
    name = f"{job.task}-scores-{job_id[:8]}"
    if form == "parquet":
        return FileResponse(path, media_type=PARQUET, filename=f"{name}.parquet")
    return StreamingResponse(
        _csv(path), media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}.csv"'}
    )


@jobs.delete("/{job_id}", status_code=204, summary="Cancel a job")
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """Stop a job and forget its file and result."""
    _require_unscoped(request)
    starter: JobStarter = request.app.state.jobs
    starter.store.cancel(job_id)
    return Response(status_code=204)


def _state(job: Job, request: Request) -> JobState:
    progress = None if job.rows is None else (job.rows_done / job.rows if job.rows else 1.0)
    return JobState(
        job_id=job.job_id,
        task=job.task,
        status=job.status,
        progress=progress,
        rows=job.rows,
        rows_done=job.rows_done,
        not_found=job.not_found,
        model_version=job.model_version,
        submitted_at=datetime.fromisoformat(job.submitted_at),
        finished_at=datetime.fromisoformat(job.finished_at) if job.finished_at else None,
        problem=job.problem,
        request_id=request.state.request_id,
    )


async def _receive(request: Request, path: Path) -> None:
    """Write a body to a file as it comes."""
    got = 0
    with path.open("wb") as file:
        try:
            async for piece in request.stream():
                got += len(piece)
                if got > MAX_FILE_BYTES:
                    raise InputError("The file is too large", expected=f"at most {MAX_FILE_BYTES} bytes")
                file.write(piece)
        except ClientDisconnect as error:
            raise InputError("The file did not come whole") from error
        except OSError as error:
            raise UnavailableError(
                f"The file cannot be kept: {error.strerror}", next_step="make room on the disk of the workspace"
            ) from error
    if not got:
        raise InputError("The file is empty", expected="a CSV or Parquet file with a column of ids")


def _csv(path: Path) -> Iterator[bytes]:
    import io

    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for number, batch in enumerate(file.iter_batches(batch_size=_ROWS_PER_PIECE)):
            buffer = io.BytesIO()
            pc.write_csv(batch, buffer, pc.WriteOptions(include_header=number == 0))
            yield buffer.getvalue()


def _require_unscoped(request: Request) -> None:
    """Jobs are not divided by territories, so that whoever sees a part cannot use them."""
    if asker_of(request).caller.role in SCOPED:
        raise ForbiddenError("Files are scored for applications", next_step="use a key of the role application")
