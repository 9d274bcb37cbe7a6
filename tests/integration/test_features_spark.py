"""The hardest transformations give the same on DuckDB and on Spark, from the same Ibis expressions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalogue import VIEWS
from features.specs import ViewSpec
from features.transform import compute, view_expression
from warehouse.contracts import CONTRACTS, UTC_MICROSECONDS
from warehouse.simulator import SimulationConfig, simulate
from warehouse.views import open_connection

pytest.importorskip("pyspark", reason="the optional extra `spark` is not installed: uv pip install '.[spark]'")

pytestmark = [
    pytest.mark.slow,
    # Ibis's backend for Spark and Spark itself use parts of pandas and of Python that will go; not ours to change.
    pytest.mark.filterwarnings("ignore"),
]

TABLES = ("leads", "lead_events", "opportunities", "activities", "accounts", "contacts", "reps", "products")
TABLES += ("transactions",)
VIEWS_TRIED = ("lead_profile", "lead_engagement", "segment_history", "deal_state", "deal_activity", "deal_pace")
VIEWS_TRIED += (
    "deal_stakeholders",
    "stage_history",
    "deal_competition",
    "account_history",
    "rep_performance",
    "rep_deals",
    "rep_leads",
    "lead_repeats",
)
ROWS = 300


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spark_world")
    simulate(SimulationConfig.of_size("small", years=1), landing=folder / "landing", truth=folder / "truth")
    return folder / "landing"


@pytest.fixture(scope="module")
def duckdb_world(world: Path) -> Iterator[Any]:
    """A part of the world: the histories of one deal in eight and one lead in twenty."""
    parts = {"opportunities": ("opportunity_id", 8), "leads": ("lead_id", 20), "lead_events": ("lead_id", 20)}
    with open_connection() as connection:
        for table in CONTRACTS:
            file = world / f"{table}.parquet"
            if table not in TABLES or not file.exists():
                connection.register(table, CONTRACTS[table].arrow_schema.empty_table())
                continue
            key, share = parts.get(table, ("NULL", 1))
            chosen = f"hash({key}) % {share} = 0" if share > 1 else "true"
            rows = connection.execute(f"SELECT * FROM '{file}' WHERE {chosen}").to_arrow_table()
            connection.register(table, _canonical(table, rows))
        yield connection


@pytest.fixture(scope="module")
def spark_world(duckdb_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    import ibis
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark_tables")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "2g")
        .getOrCreate()
    )
    for table in CONTRACTS:
        rows = duckdb_world.sql(f'SELECT * FROM "{table}"').to_arrow_table()
        pq.write_table(rows, folder / f"{table}.parquet", coerce_timestamps="us")
        session.read.parquet(str(folder / f"{table}.parquet")).createOrReplaceTempView(table)
    yield session, ibis.pyspark.connect(session)
    session.stop()


@pytest.mark.parametrize("name", VIEWS_TRIED)
def test_spark_computes_what_duckdb_computes(
    name: str, duckdb_world: Any, spark_world: tuple[Any, Any], tmp_path: Path
) -> None:
    view = VIEWS[name]
    spine = _spine(view, duckdb_world)
    expected = compute(view, spine, duckdb_world)
    got = _on_spark(view, spine, spark_world, tmp_path)
    order = [(view.join_key, "ascending"), ("as_of", "ascending")]
    got = got.sort_by(order)
    expected = expected.rename_columns({"event_timestamp": "as_of"}).sort_by(order)
    assert got["as_of"].to_pylist() == expected["as_of"].to_pylist()
    informative = 0
    for field in view.schema:
        if field.name in (view.join_key, "event_timestamp", "created_timestamp"):
            continue
        here, there = expected[field.name].to_pylist(), got[field.name].to_pylist()
        informative += any(value not in (None, 0) for value in here)
        if pa.types.is_floating(field.type):
            here = np.array([np.nan if value is None else value for value in here], dtype=float)
            there = np.array([np.nan if value is None else value for value in there], dtype=float)
            np.testing.assert_allclose(there, here, rtol=1e-12, atol=1e-12, equal_nan=True, err_msg=field.name)
        else:
            assert here == there, field.name
    assert informative >= len(view.features) // 2


def _on_spark(view: ViewSpec, spine: pa.Table, world: tuple[Any, Any], folder: Path) -> pa.Table:
    session, backend = world
    pq.write_table(spine, folder / "spine.parquet", coerce_timestamps="us")
    session.read.parquet(str(folder / "spine.parquet")).createOrReplaceTempView("spine")
    rows = backend.to_pyarrow(view_expression(view))
    names = [field.name for field in view.schema if field.name not in ("event_timestamp", "created_timestamp")]
    wanted = pa.schema([*(view.schema.field(each) for each in names), pa.field("as_of", UTC_MICROSECONDS)])
    return rows.select([*names, "as_of"]).cast(wanted)


def _spine(view: ViewSpec, connection: Any) -> pa.Table:
    """Moments at random, and keys that exist and one that does not."""
    keys = {
        "lead_id": "SELECT DISTINCT lead_id FROM leads",
        "opportunity_id": "SELECT DISTINCT opportunity_id FROM opportunities",
        "rep_id": "SELECT DISTINCT rep_id FROM reps",
        "account_id": "SELECT DISTINCT account_id FROM opportunities WHERE account_id IS NOT NULL",
        "segment_id": "SELECT DISTINCT coalesce(source, '') || '|' || coalesce(landing_page, '') FROM leads",
        "stage_id": "SELECT DISTINCT coalesce(pipeline, '') || '|' || stage FROM opportunities",
        "competitor_id": "SELECT DISTINCT competitor FROM opportunities WHERE competitor IS NOT NULL",
    }[view.join_key]
    names = sorted(name for (name,) in connection.execute(keys).fetchall())
    first, last = connection.execute("SELECT min(event_timestamp), max(created_timestamp) FROM leads").fetchall()[0]
    draw = np.random.default_rng(7)
    seconds = draw.integers(0, int((last - first).total_seconds()), ROWS)
    table = pa.table(
        {
            view.join_key: pa.array([*draw.choice(names, ROWS - 1), "nobody"], pa.string()),
            "as_of": pa.array([first + timedelta(seconds=int(each)) for each in seconds], UTC_MICROSECONDS),
        }
    )
    return table.group_by([view.join_key, "as_of"]).aggregate([])


def _canonical(table: str, rows: pa.Table) -> pa.Table:
    """The rows with all columns of the contract; those the file lacks are null."""
    fields = list(CONTRACTS[table].arrow_schema)
    columns = [
        rows[field.name].cast(field.type) if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type)
        for field in fields
    ]
    return pa.table(columns, schema=pa.schema(fields))
