"""What the services answered: age and absence of features, skew against the offline features, volume and latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from common.clock import utc
from common.logged_predictions import AS_OF, ENTITY, FEATURE_TIMES, FEATURES, LATENCY, SCORED, VERSION, segments
from common.workspace import Workspace
from monitoring.checks import Check, State, unknown
from monitoring.retraining import Policy

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from features.specs import FeatureSpec, ViewSpec
    from warehouse.store import Warehouse

SKEW_ROWS = 1_000
TOLERANCE = 1e-6
"""Largest difference that counts as none, relative where numbers are greater than 1; JSON keeps nine digits."""
_SHOWN = 5
_KINDS_BY_ID = ("id", "batch", "job")


def read_log(workspace: Workspace, task: str, *, since: datetime, until: datetime) -> pa.Table | None:
    """Rows scored in (since, until], each request and entity once; None where there are none.

    Segments of different model versions have different features: a feature that a segment lacks is null.
    """
    import pyarrow.parquet as pq

    found = []
    for path in segments(workspace, task, since=since):
        table = pq.read_table(path)
        scored = table[SCORED].cast(pa.timestamp("us", tz="UTC"))
        inside = pc.and_(
            pc.greater(scored, pa.scalar(utc(since), scored.type)),
            pc.less_equal(scored, pa.scalar(utc(until), scored.type)),
        )
        table = table.filter(inside)
        if table.num_rows:
            found.append(_flat(table))
    if not found:
        return None
    whole = pa.concat_tables(found, promote_options="permissive")
    first = pa.table({"key": pc.binary_join_element_wise(whole["request_id"], whole[ENTITY], "/")})
    first = first.append_column("place", pa.array(np.arange(whole.num_rows)))
    kept = first.group_by("key").aggregate([("place", "min")])["place_min"]
    return whole.take(kept.combine_chunks().sort())


def _flat(table: pa.Table) -> pa.Table:
    """Structs as columns `features.<name>` and `feature_timestamps.<view>`."""
    for column in (FEATURES, FEATURE_TIMES):
        if column in table.column_names and pa.types.is_struct(table.schema.field(column).type):
            whole = table[column].combine_chunks()
            names = [field.name for field in whole.type]
            for name in names:
                table = table.append_column(f"{column}.{name}", pc.struct_field(whole, name))
            table = table.drop_columns([column])
    keep = [name for name in table.column_names if not pa.types.is_nested(table.schema.field(name).type)]
    lists = [name for name in table.column_names if name == "expired"]
    return table.select([*keep, *lists])


def check_serving(
    workspace: Workspace,
    task: str,
    *,
    champion: str,
    repository: FeatureRepository,
    warehouse: Warehouse,
    service: str,
    since: datetime,
    until: datetime,
    policy: Policy,
    seed: int,
) -> list[Check]:
    """Stale features, skew and service of what was answered in a window.

    Args:
        workspace: Whose services.
        task: lead or deal.
        champion: Version that should be answering.
        repository: Says which views a service has.
        warehouse: For the features computed again.
        service: Feature service of the champion.
        since: First moment, UTC.
        until: Last moment, UTC.
        policy: Bounds.
        seed: Seed of the sample that is computed again.
    """
    log = read_log(workspace, task, since=since, until=until)
    if log is None:
        why = f"Nothing was answered between {since:%Y-%m-%d} and {until:%Y-%m-%d}, or no log is kept."
        return [unknown(name, why) for name in ("stale features", "online skew", "service")]
    views = repository.views(service)
    return [
        check_stale(log, views, most=policy.trust.most_stale_share),
        check_skew(log, views, warehouse, seed=seed),
        check_service(log, champion=champion),
    ]


def check_stale(log: pa.Table, views: Sequence[ViewSpec], *, most: float) -> Check:
    """Share of answers for which a view's values were older than its TTL, or were not there at all."""
    rows = log.num_rows
    table: list[dict[str, Any]] = []
    for view in views:
        name = f"{FEATURE_TIMES}.{view.name}"
        if name not in log.column_names:
            continue
        age = (_seconds(log[AS_OF]) - _seconds(log[name])) / 86_400
        known = age[~np.isnan(age)]
        table.append(
            {
                "view": view.name,
                "ttl_days": view.ttl_days,
                "median_age_days": float(np.median(known)) if len(known) else None,
                "expired": float((known > view.ttl_days).sum() / rows),
                "absent": float(np.isnan(age).sum() / rows),
            }
        )
    if not table:
        return unknown("stale features", "The log keeps no moments of its features.")
    stale = [row for row in table if row["expired"] > most]
    figures = {"views": table, "rows": rows}
    if stale:
        worst = max(stale, key=lambda row: row["expired"])
        says = (
            f"{worst['expired']:.0%} of {rows:,} answers came from expired values of {worst['view']} "
            f"(older than {worst['ttl_days']:g} days): is materialization running?"
        )
        return Check(name="stale features", state=State.FAILS, says=says, cause=worst["view"], figures=figures)
    oldest = max((row["median_age_days"] or 0.0 for row in table), default=0.0)
    says = f"Features of {rows:,} answers were within their TTL; median age at most {oldest:.1f} days."
    return Check(name="stale features", state=State.OK, says=says, figures=figures)


def check_skew(log: pa.Table, views: Sequence[ViewSpec], warehouse: Warehouse, *, seed: int) -> Check:
    """Compute the logged features again, offline, at the moments they stood for, and name those that differ.

    Views keyed by the scored thing itself are compared; the others' keys are followed from the own views' rows.
    """
    from features.transform import compute

    log = _sample_by_id(log, seed=seed)
    if log is None:
        return unknown("online skew", "No answer by id was given from stored features.")
    compared, wrong = 0, []
    with warehouse.duckdb() as connection:
        keys: dict[str, pa.ChunkedArray] = {views[0].join_key: log[ENTITY]}
        for view in views:
            moments, places = _moments(log, view, keys.get(view.join_key))
            if moments is None:
                continue
            asked = moments.group_by([view.join_key, "as_of"]).aggregate([]).select([view.join_key, "as_of"])
            computed = _in_order(view, moments, compute(view, asked, connection))
            for column, key in view.foreign_keys:
                keys.setdefault(key, _scattered(computed[column], places, log.num_rows))
            for feature in view.features:
                name = f"{FEATURES}.{feature.name}"
                if name in log.column_names:
                    compared += 1
                    found = _differing(feature, log[name].take(places), computed[feature.name])
                    if len(found):
                        wrong.append(_example(feature, view, log, places, computed, found))
    if not compared:
        return unknown("online skew", "The log keeps no features, or no moments of them.")
    wrong.sort(key=lambda row: -row["share"])
    figures = {"rows": log.num_rows, "features": compared, "wrong": wrong}
    if not wrong:
        says = f"{compared} features of {log.num_rows:,} answers computed again offline: all the same."
        return Check(name="online skew", state=State.OK, says=says, figures=figures)
    worst = wrong[0]
    says = (
        f"{len(wrong)} of {compared} features are not online what they are offline; most: {worst['feature']} in "
        f"{worst['share']:.0%} of rows (answered {worst['online']}, computed {worst['offline']}, {worst['entity']})."
    )
    cause = ", ".join(row["feature"] for row in wrong[:_SHOWN])
    return Check(name="online skew", state=State.FAILS, says=says, cause=cause, figures=figures)


def check_service(log: pa.Table, *, champion: str) -> Check:
    """Volume and latency, and whether the champion is what answers."""
    latency = np.asarray(log[LATENCY].cast(pa.float64()).to_numpy(zero_copy_only=False))
    latency = latency[~np.isnan(latency)]
    by_version = {row["values"]: row["counts"] for row in pc.value_counts(log[VERSION]).to_pylist()}
    newest = log[VERSION][int(np.argmax(_seconds(log[SCORED])))].as_py()
    p50, p99 = (float(np.quantile(latency, q)) for q in (0.5, 0.99)) if len(latency) else (None, None)
    figures = {"answers": log.num_rows, "p50_ms": p50, "p99_ms": p99, "by_version": by_version, "newest": newest}
    latencies = "" if p50 is None else f"; latency {p50:.1f} ms, 99 of 100 within {p99:.1f} ms"
    if newest != champion:
        says = f"The newest answer came from version {newest}, and the champion is {champion}{latencies}."
        return Check(name="service", state=State.NOTICE, says=says, cause=f"version {newest}", figures=figures)
    return Check(name="service", state=State.OK, says=f"{log.num_rows:,} answers{latencies}.", figures=figures)


def _seconds(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    whole = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return np.asarray(whole.cast(pa.float64()).to_numpy(zero_copy_only=False)) / 1e6


def _sample_by_id(log: pa.Table, *, seed: int) -> pa.Table | None:
    """Random rows whose features came from the store, each answer's own and none that was only remembered."""
    if "kind" in log.column_names:
        log = log.filter(pc.is_in(log["kind"], pa.array(_KINDS_BY_ID)))
    if "is_last_known" in log.column_names:
        log = log.filter(pc.invert(pc.fill_null(log["is_last_known"], False)))
    if not log.num_rows:
        return None
    size = min(SKEW_ROWS, log.num_rows)
    chosen = np.sort(np.random.default_rng(seed).choice(log.num_rows, size, replace=False))
    return log.take(pa.array(chosen))


def _moments(log: pa.Table, view: ViewSpec, keys: pa.ChunkedArray | None) -> tuple[pa.Table | None, pa.Array]:
    """The view's key and moment of each row that has both and is not expired, and which rows these are."""
    name = f"{FEATURE_TIMES}.{view.name}"
    if keys is None or name not in log.column_names:
        return None, pa.array([], pa.int64())
    times = log[name].cast(pa.timestamp("us", tz="UTC"))
    age = (_seconds(log[AS_OF]) - _seconds(times)) / 86_400
    usable = ~np.isnan(age) & (age <= view.ttl_days) & np.asarray(keys.is_valid().to_numpy(zero_copy_only=False))
    places = pa.array(np.flatnonzero(usable))
    if not len(places):
        return None, places
    return pa.table({view.join_key: keys.take(places), "as_of": times.take(places)}), places


def _in_order(view: ViewSpec, moments: pa.Table, computed: pa.Table) -> pa.Table:
    from features.verifying import by_row

    return by_row(view, moments, computed)


def _scattered(values: pa.ChunkedArray, places: pa.Array, rows: int) -> pa.ChunkedArray:
    whole: list[Any] = [None] * rows
    for place, value in zip(places.to_pylist(), values.to_pylist(), strict=True):
        whole[place] = value
    return pa.chunked_array([pa.array(whole, values.type)])


def _differing(feature: FeatureSpec, online: pa.ChunkedArray, offline: pa.ChunkedArray) -> list[int]:
    if feature.dtype == "category":
        pairs = zip(online.to_pylist(), offline.to_pylist(), strict=True)
        return [place for place, (one, other) in enumerate(pairs) if one != other]
    one, other = (
        np.asarray(side.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        for side in (online, offline)
    )
    with np.errstate(invalid="ignore"):
        near = np.abs(one - other) <= TOLERANCE * np.maximum(1.0, np.abs(other))
    return [int(place) for place in np.flatnonzero(~(near | (np.isnan(one) & np.isnan(other))))]


def _example(
    feature: FeatureSpec, view: ViewSpec, log: pa.Table, places: pa.Array, computed: pa.Table, found: Sequence[int]
) -> Mapping[str, Any]:
    row = places[found[0]].as_py()
    return {
        "feature": feature.name,
        "view": view.name,
        "share": len(found) / len(places),
        "online": log[f"{FEATURES}.{feature.name}"][row].as_py(),
        "offline": computed[feature.name][found[0]].as_py(),
        "entity": log[ENTITY][row].as_py(),
        "as_of": str(log[AS_OF][row].as_py()),
    }


def default_span(until: datetime, *, days: float) -> tuple[datetime, datetime]:
    """The window of the log that belongs to a look."""
    return until - timedelta(days=days), until
