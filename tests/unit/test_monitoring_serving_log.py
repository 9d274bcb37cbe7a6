"""What the prediction log tells: skew, stale features, latency; on a small simulated world."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.logged_predictions import log_folder
from common.settings import OnlineStoreSettings
from common.workspace import Workspace
from features.repository import FeatureRepository
from features.spines import open_lead_spine
from features.transform import compute
from features.verifying import by_row, moments_of
from monitoring.checks import State
from monitoring.retraining import Policy
from monitoring.serving_log import check_service, check_serving, check_skew, check_stale, read_log
from warehouse.ingest import ingest
from warehouse.simulator import SimulationConfig, simulate
from warehouse.sources import load_source
from warehouse.store import Warehouse

SCORED = datetime(2026, 1, 5, 9, tzinfo=UTC)
MOMENT = pa.timestamp("us", tz="UTC")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> FeatureRepository:
    workspace = Workspace("simulated", tmp_path_factory.mktemp("log_world"))
    simulate(SimulationConfig(years=1, reps=8, leads=300, deals=120), landing=workspace.landing, truth=workspace.truth)
    warehouse = Warehouse(workspace.warehouse)
    ingest(load_source("simulated"), workspace.landing, warehouse)
    return FeatureRepository(workspace, warehouse, OnlineStoreSettings(kind="sqlite"))


@pytest.fixture(scope="module")
def answered(repository: FeatureRepository) -> pa.Table:
    """A log as the services write it: every open lead answered from features as of the warehouse's cut."""
    warehouse = repository.warehouse
    at = warehouse.cut()
    spine = open_lead_spine(warehouse, at)
    columns, views = {}, repository.views("lead_score_v1")
    with warehouse.duckdb() as connection:
        for view in views:
            rows = by_row(view, spine, compute(view, moments_of(spine, view), connection))
            for feature in view.features:
                column = rows[feature.name].combine_chunks()
                columns[feature.name] = column if feature.dtype in ("category", "bool") else column.cast(pa.float64())
    count = spine.num_rows
    moments = pa.array([at] * count, MOMENT)
    return pa.table(
        {
            "request_id": [f"r{place}" for place in range(count)],
            "task": ["lead"] * count,
            "entity_id": spine["lead_id"],
            "model_name": ["simulated-lead"] * count,
            "model_version": ["3"] * count,
            "alias": ["champion"] * count,
            "scored_at": pa.array([SCORED] * count, MOMENT),
            "as_of": moments,
            "probability": [0.1] * count,
            "latency_ms": [float(place) for place in range(count)],
            "kind": ["id"] * count,
            "features": pa.StructArray.from_arrays(list(columns.values()), names=list(columns)),
            "feature_timestamps": pa.StructArray.from_arrays(
                [moments] * len(views), names=[view.name for view in views]
            ),
        }
    )


def write(workspace: Workspace, log: pa.Table, name: str = "segment") -> None:
    folder = log_folder(workspace, "lead") / "20260105"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(log, folder / f"{name}.parquet")


def read(workspace: Workspace) -> pa.Table:
    found = read_log(workspace, "lead", since=SCORED - timedelta(days=7), until=SCORED)
    assert found is not None
    return found


def with_feature(log: pa.Table, name: str, change) -> pa.Table:
    whole = log["features"].combine_chunks()
    arrays = {field.name: whole.field(field.name) for field in whole.type}
    arrays[name] = pa.array([change(value) for value in arrays[name].to_pylist()], arrays[name].type)
    changed = pa.StructArray.from_arrays(list(arrays.values()), names=list(arrays))
    return log.set_column(log.schema.get_field_index("features"), "features", changed)


def test_features_answered_online_are_what_they_are_offline(
    repository: FeatureRepository, answered: pa.Table, tmp_path: Path
) -> None:
    workspace = Workspace("simulated", tmp_path)
    write(workspace, answered)
    check = check_skew(read(workspace), repository.views("lead_score_v1"), repository.warehouse, seed=1)
    assert check.state == State.OK
    assert check.figures["features"] > 50  # those of reps and segments too, along their keys


@pytest.mark.parametrize(
    ("feature", "change"),
    [
        ("lead_age_days", lambda value: None if value is None else value + 1),
        ("industry", lambda value: "wrong"),
        ("count_email_click_30d", lambda value: 99.0),
        ("win_rate_rep_365d", lambda value: 0.123),
    ],
)
def test_a_deliberately_wrong_online_feature_is_named_within_one_run(
    repository: FeatureRepository, answered: pa.Table, tmp_path: Path, feature: str, change
) -> None:
    workspace = Workspace("simulated", tmp_path)
    names = [field.name for field in answered["features"].type]
    if feature not in names:
        feature = next(name for name in names if name.endswith("_rep_365d"))
    write(workspace, with_feature(answered, feature, change))
    check = check_skew(read(workspace), repository.views("lead_score_v1"), repository.warehouse, seed=1)
    assert check.state == State.FAILS
    assert check.cause == feature
    assert f"most: {feature}" in check.says
    assert check.figures["wrong"][0]["share"] > 0.5


def test_what_is_answered_from_expired_values_fails_and_names_the_view(
    repository: FeatureRepository, answered: pa.Table
) -> None:
    views = repository.views("lead_score_v1")
    flat = _flat(answered)
    assert check_stale(flat, views, most=0.2).state == State.OK
    name = f"feature_timestamps.{views[0].name}"
    old = pa.array([moment - timedelta(days=views[0].ttl_days + 1) for moment in flat[name].to_pylist()], MOMENT)
    stale = flat.set_column(flat.schema.get_field_index(name), name, old)
    check = check_stale(stale, views, most=0.2)
    assert (check.state, check.cause) == (State.FAILS, views[0].name)
    assert "100%" in check.says


def _flat(log: pa.Table) -> pa.Table:
    from monitoring.serving_log import _flat as flat

    return flat(log)


def test_latency_and_the_version_that_answers_are_told(answered: pa.Table) -> None:
    flat = _flat(answered)
    assert check_service(flat, champion="3").state == State.OK
    other = check_service(flat, champion="4")
    assert other.state == State.NOTICE
    assert "version 3, and the champion is 4" in other.says
    assert other.figures["p50_ms"] == pytest.approx((answered.num_rows - 1) / 2)


def test_a_request_that_stands_twice_counts_once_and_other_versions_features_are_missing(
    answered: pa.Table, tmp_path: Path
) -> None:
    workspace = Workspace("simulated", tmp_path)
    write(workspace, answered)
    write(workspace, answered, "again")
    first = answered["features"].combine_chunks()
    fewer = pa.StructArray.from_arrays([first.field(0)], names=[first.type[0].name])
    old = answered.slice(0, 1).set_column(
        answered.schema.get_field_index("features"), "features", fewer.slice(0, 1)
    ).set_column(0, "request_id", pa.array(["other"]))  # fmt: skip
    write(workspace, old, "older")
    assert read(workspace).num_rows == answered.num_rows + 1


def test_no_log_cannot_tell(repository: FeatureRepository, tmp_path: Path) -> None:
    found = check_serving(
        Workspace("simulated", tmp_path), "lead", champion="3", repository=repository,
        warehouse=repository.warehouse, service="lead_score_v1", since=SCORED - timedelta(days=1), until=SCORED,
        policy=Policy(), seed=1,
    )  # fmt: skip
    assert {check.state for check in found} == {State.UNKNOWN}
