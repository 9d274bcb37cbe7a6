"""The process that works on jobs: reads ids in chunks, scores them with reasons, and writes the result.

A chunk's part appears whole or not at all, so that a killed job goes on where it was. Every prediction goes to the
prediction log too, column by column instead of line by line.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ContractError, SalienceError
from common.logs import configure_logging
from common.settings import Settings
from common.telemetry import disable_telemetry
from common.whole_files import whole_file
from common.workspace import Workspace
from serving.jobs import Job, JobStore, finished
from serving.scored import KEYS

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.engine import Engine

CHUNK_ROWS = 10_000
_NICE = 10

logger = logging.getLogger(__name__)


def work_off(store: JobStore, engine: Engine, workspace: Workspace) -> None:
    """Work on jobs until none waits.

    Args:
        store: The jobs.
        engine: What scores; its champion of the moment when a job begins scores all of it.
        workspace: Where the prediction log is.
    """
    while (job := store.next()) is not None:
        try:
            store.save(finished(_run(store, engine, job, workspace), "done"))
        except SalienceError as error:
            store.save(finished(_newest(store, job), "failed", problem=error.message))
        except OSError as error:
            store.save(finished(_newest(store, job), "failed", problem=f"Its files cannot be used: {error.strerror}"))
        except _CancelledError:
            logger.info("job %s was cancelled", job.job_id)


def _newest(store: JobStore, job: Job) -> Job:
    return store.get(job.job_id) if store.is_wanted(job) else job


class _CancelledError(Exception):
    """Nobody wants the job any more."""


def _run(store: JobStore, engine: Engine, job: Job, workspace: Workspace) -> Job:
    from serving.job_chunks import score_chunk

    rows = _count(store.input_of(job), job)
    champion = engine.slot(job.task).require()
    # Half of it by one version and half by another would be no result: parts of another version are made anew.
    parts = store.parts_of(job) / champion.version
    job = store.save(replace(job, status="running", rows=rows, model_version=champion.version))
    done = not_found = 0
    for number, ids in enumerate(_chunks(store.input_of(job), job)):
        if not store.is_wanted(job):
            raise _CancelledError
        part = parts / f"part-{number:06d}.parquet"
        if not part.is_file():
            score_chunk(engine, champion, job, ids, part=part, log_folder=workspace.root / "predictions")
        done, not_found = done + len(ids), not_found + _not_found(part)
        job = store.save(replace(job, rows_done=done, not_found=not_found))
    if not store.is_wanted(job):
        raise _CancelledError
    _join(parts, store.result_of(job), key=KEYS[job.task])
    return job


def _join(parts: Path, result: Path, *, key: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # A chunk of unknown ids has no columns but the key's.
    files = [file for file in sorted(parts.glob("*.parquet")) if pq.read_metadata(file).num_rows]
    schemas = [pq.read_schema(file).remove_metadata() for file in files]
    schema = pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([(key, pa.string())])
    with whole_file(result) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for file in files:
            writer.write_table(pq.read_table(file).replace_schema_metadata(None).cast(schema))


def _not_found(part: Path) -> int:
    import pyarrow.parquet as pq

    return int((pq.read_schema(part).metadata or {}).get(b"not_found", b"0"))


def _count(path: Path, job: Job) -> int:
    return sum(len(ids) for ids in _chunks(path, job))


def _chunks(path: Path, job: Job) -> Iterator[list[str]]:
    """The ids of a file, some thousands at a time.

    Raises:
        ContractError: if the file cannot be read, or has no column of ids.
    """
    import pyarrow as pa

    key, waiting = KEYS[job.task], list[str]()
    try:
        for batch in _batches(path, job):
            if key not in batch.schema.names:
                raise ContractError(
                    f"The file has no column '{key}'", got=f"columns {', '.join(batch.schema.names)}", field=key
                )
            column = batch[key].cast(pa.string())
            if column.null_count:
                raise ContractError(f"{column.null_count} rows have no '{key}'", field=key)
            waiting += column.to_pylist()
            while len(waiting) >= CHUNK_ROWS:
                yield waiting[:CHUNK_ROWS]
                waiting = waiting[CHUNK_ROWS:]
    except pa.ArrowException as error:
        raise ContractError(f"The file is no {job.format} that can be read", got=str(error).splitlines()[0]) from error
    if waiting:
        yield waiting


def _batches(path: Path, job: Job) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    if job.format == "parquet":
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=CHUNK_ROWS)
        return
    options = pc.ConvertOptions(column_types={KEYS[job.task]: pa.string()}, strings_can_be_null=True)
    with pc.open_csv(path, convert_options=options) as reader:
        yield from reader


def end_with(parent: int) -> None:
    """End this process when the one that started it ends."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """Entry point: work on the jobs of the workspace that the settings name."""
    parser = argparse.ArgumentParser(prog="serving.job_runner", description=__doc__)
    parser.add_argument("--parent", type=int, required=True)
    end_with(parser.parse_args().parent)
    disable_telemetry()
    settings = Settings()
    configure_logging(settings.log_level)
    os.nice(_NICE)
    workspace = Workspace.of(settings)
    store = JobStore(workspace)
    with store.turn() as is_mine:
        if not is_mine:
            return
        from serving.assembly import open_engine
        from serving.lean import import_libraries, settle, use_few_arenas

        use_few_arenas()
        try:
            import_libraries()
            engine = open_engine(settings, workspace, tasks=("lead", "deal"), tells_open=False)
            settle()
            work_off(store, engine, workspace)
        except SalienceError as error:
            logger.error("%s", json.dumps({"at": datetime.now(UTC).isoformat(), "problem": error.message}))


if __name__ == "__main__":
    main()
