"""One chunk of a job: features in, records out, and the same to the prediction log, column by column."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.whole_files import whole_file
from serving.champions import Champion
from serving.jobs import Job
from serving.scored import KEYS, PROBABILITIES, to_json

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.engine import Engine
    from serving.stored_features import Reading

_IDS_PER_READ = 500


def score_chunk(
    engine: Engine, champion: Champion, job: Job, ids: Sequence[str], *, part: Path, log_folder: Path
) -> None:
    """Score a chunk and write its part; the part is there only if the prediction log has the chunk, too.

    Args:
        engine: Features and the service's now.
        champion: What scores.
        job: Whose chunk.
        ids: Leads or deals; an id that the store does not know is counted, and left out.
        part: File to write.
        log_folder: Folder of the prediction log.

    Raises:
        UnavailableError: if the feature store is away.
    """
    began, now, at = time.perf_counter(), engine.moment.now(), datetime.now(UTC)
    scorer = champion.scorer_or_raise()
    names = scorer.manifest.feature_names
    found: list[str] = []
    columns: dict[str, list[Any]] = {name: [] for name in names}
    times: dict[str, list[datetime | None]] = {}
    ages: list[datetime | None] = []
    for start in range(0, len(ids), _IDS_PER_READ):
        reading = engine.store.features.read(
            scorer.manifest.feature_service, ids[start : start + _IDS_PER_READ], at=now
        )
        _take(reading, found, columns, times, ages)
    records = scorer.record(columns, ids=found, at=at, as_of=now) if found else []
    seconds = time.perf_counter() - began
    table = _records(records, champion, job, ages, as_of=now)
    log = _logged(records, champion, job, columns, times, at=at, as_of=now, seconds=seconds)
    if log is not None:
        _write(log, log_folder / job.task / f"{at:%Y%m%d}" / f"job.{job.job_id}.{part.stem}.parquet")
    _write(table.replace_schema_metadata({"not_found": str(len(ids) - len(found))}), part)


def _take(
    reading: Reading,
    found: list[str],
    columns: dict[str, list[Any]],
    times: dict[str, list[datetime | None]],
    ages: list[datetime | None],
) -> None:
    answer = reading.answer
    rows = [row for row, is_found in enumerate(answer.found) if is_found]
    found += [answer.ids[row] for row in rows]
    for name, values in columns.items():
        column = answer.values[name]
        values += column if len(rows) == len(column) else [column[row] for row in rows]
    for view, moments in answer.view_timestamps.items():
        times.setdefault(view, []).extend(moments[row] for row in rows)
    ages += [answer.feature_timestamps[row] for row in rows]


def _records(
    records: Sequence[dict[str, Any]],
    champion: Champion,
    job: Job,
    ages: Sequence[datetime | None],
    *,
    as_of: datetime,
) -> pa.Table:
    """Records as a table: nested parts as JSON text, and what an answer says beside the score."""
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    if not records:
        return pa.table({KEYS[job.task]: pa.array([], pa.string())})
    names = list(records[0])
    arrays: dict[str, Any] = {}
    for name in names:
        values = [record[name] for record in records]
        is_nested = bool(values) and isinstance(values[0], dict | list)
        arrays[name] = pa.array([to_json(value).decode() for value in values] if is_nested else values)
    count = len(records)
    arrays |= {
        "model_name": pa.array([champion.name] * count, pa.string()),
        "alias": pa.array([champion.alias] * count, pa.string()),
        "as_of": pa.array([as_of] * count, moment),
        "oldest_feature_at": pa.array(ages, moment),
    }
    table = pa.table(arrays)
    # What no row of a chunk has would have no type, and another one in the next chunk.
    for place, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            kind = moment if field.name.endswith(("_at", "_since", "_until")) else pa.float64()
            table = table.set_column(place, field.name, table[field.name].cast(kind))
    return table


def _logged(
    records: Sequence[dict[str, Any]],
    champion: Champion,
    job: Job,
    columns: dict[str, list[Any]],
    times: dict[str, list[datetime | None]],
    *,
    at: datetime,
    as_of: datetime,
    seconds: float,
) -> pa.Table | None:
    """The chunk in the shape of `common.logged_predictions`; None where nothing was found."""
    import pyarrow as pa

    if not records:
        return None
    count, moment = len(records), pa.timestamp("us", tz="UTC")
    kinds = {"category": pa.string(), "bool": pa.bool_()}
    features = [
        pa.array(columns[entry.name], kinds.get(entry.dtype, pa.float64()), from_pandas=True)
        for entry in champion.scorer_or_raise().manifest.features
    ]
    reasons = [
        [
            {"feature": factor["feature"], "contribution": factor["contribution"]}
            for side in ("for", "against")
            for factor in record["scoring_factors"][side]
        ]
        for record in records
    ]

    def same(value: Any, kind: Any) -> Any:
        return pa.array([value] * count, kind)

    text = pa.string()
    columns_of_log = {
        "task": same(job.task, text),
        "model_name": same(champion.name, text),
        "model_version": same(champion.version, text),
        "request_id": same(job.job_id, text),
        "entity_id": pa.array([record[KEYS[job.task]] for record in records], text),
        "alias": same(champion.alias, text),
        "scored_at": same(at, moment),
        "as_of": same(as_of, moment),
        "answered_at": same(datetime.now(UTC), moment),
        "probability": pa.array([record[PROBABILITIES[job.task]] for record in records], pa.float64()),
        "latency_ms": same(round(1_000.0 * seconds / count, 3), pa.float64()),
        "kind": same("job", text),
        "is_cached": same(False, pa.bool_()),
        "is_last_known": same(False, pa.bool_()),
        "reasons": pa.array(reasons, pa.list_(pa.struct([("feature", text), ("contribution", pa.float64())]))),
        "features": pa.StructArray.from_arrays(features, names=list(champion.scorer_or_raise().manifest.feature_names)),
    }
    if times:
        columns_of_log["feature_timestamps"] = pa.StructArray.from_arrays(
            [pa.array(moments, moment) for moments in times.values()], names=list(times)
        )
    return pa.table(columns_of_log)


def _write(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd")
