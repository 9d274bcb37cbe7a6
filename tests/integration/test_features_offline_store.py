"""The ASOF offline store against an oracle that reads every row for every question."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import ContractError
from features.feast_import import feast

MICROSECONDS = pa.timestamp("us", tz="UTC")
START = datetime(2025, 1, 1, tzinfo=UTC)


def _at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def _stored(rows: list[tuple[str, float, float, float | None]]) -> pa.Table:
    return pa.table(
        {
            "rep_id": pa.array([row[0] for row in rows], pa.string()),
            "value": pa.array([row[3] for row in rows], pa.float64()),
            "event_timestamp": pa.array([_at(row[1]) for row in rows], MICROSECONDS),
            "created_timestamp": pa.array([_at(row[2]) for row in rows], MICROSECONDS),
        }
    )


def _ask(folder: Path, stored: pa.Table, asked: list[tuple[str | None, float]], *, ttl_hours: int = 0) -> pa.Table:
    """Ask the store through Feast's own front door."""
    open_feature_store = feast().FeatureStore
    from feast.repo_config import RepoConfig
    from feast.types import Float64, String

    (folder / "files").mkdir(exist_ok=True)
    for place, start in enumerate(range(0, max(stored.num_rows, 1), 37)):  # several files, in no order that matters
        pq.write_table(stored.slice(start, 37), folder / "files" / f"part-{place}.parquet")
    store = open_feature_store(
        config=RepoConfig(
            project="test",
            provider="local",
            registry=str(folder / "registry.db"),
            offline_store={"type": "features.offline_store.AsofOfflineStore"},
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    rep = feast().Entity(name="rep_id", join_keys=["rep_id"], value_type=feast().ValueType.STRING)
    source = feast().FileSource(
        path=str(folder / "files"), timestamp_field="event_timestamp", created_timestamp_column="created_timestamp"
    )
    field = feast().Field
    view = feast().FeatureView(
        name="view",
        entities=[rep],
        schema=[field(name="rep_id", dtype=String), field(name="value", dtype=Float64)],
        source=source,
        ttl=timedelta(hours=ttl_hours),
    )
    store.apply([rep, view])
    frame = pa.table(
        {
            "rep_id": pa.array([row[0] for row in asked], pa.string()),
            "event_timestamp": pa.array([_at(row[1]) for row in asked], MICROSECONDS),
            "place": list(range(len(asked))),
        }
    ).to_pandas()
    answer: Any = store.get_historical_features(
        entity_df=frame, features=["view:value"], filter_by_created_timestamp=True
    ).to_arrow()
    assert answer["place"].to_pylist() == list(range(len(asked)))  # no row lost, doubled or moved
    return answer["value"].to_pylist()


def _oracle(stored: pa.Table, key: str | None, hour: float, ttl_hours: int) -> float | None:
    seen = [
        row
        for row in stored.to_pylist()
        if row["rep_id"] == key and max(row["event_timestamp"], row["created_timestamp"]) <= _at(hour)
    ]
    if not seen:
        return None
    newest = max(seen, key=lambda row: (row["event_timestamp"], row["created_timestamp"]))
    is_alive = not ttl_hours or newest["event_timestamp"] >= _at(hour - ttl_hours)
    return newest["value"] if is_alive else None


CASES: dict[
    str, tuple[list[tuple[str, float, float, float | None]], list[tuple[str | None, float]], list[float | None]]
] = {
    "nothing is known before the first row": ([("R1", 5, 5, 1.0)], [("R1", 4.9), ("R1", 5)], [None, 1.0]),
    "a row recorded later is not seen earlier": (
        [("R1", 1, 1, 1.0), ("R1", 2, 8, 2.0)],
        [("R1", 3), ("R1", 8)],
        [1.0, 2.0],
    ),
    "an older row recorded later never wins": (
        [("R1", 1, 10, 1.0), ("R1", 2, 2, 2.0)],
        [("R1", 5), ("R1", 11)],
        [2.0, 2.0],
    ),
    "of one moment the last recorded wins": (
        [("R1", 1, 1, 1.0), ("R1", 1, 3, 3.0), ("R1", 1, 2, 2.0)],
        [("R1", 1), ("R1", 2), ("R1", 3)],
        [1.0, 2.0, 3.0],
    ),
    "rows that become known together are judged by their event": (
        [("R1", 2, 5, 2.0), ("R1", 1, 5, 1.0)],
        [("R1", 5)],
        [2.0],
    ),
    "a null value is the newest value too": ([("R1", 1, 1, 1.0), ("R1", 2, 2, None)], [("R1", 3)], [None]),
    "unknown and missing keys get nulls": ([("R1", 1, 1, 1.0)], [("R2", 3), (None, 3), ("R1", 3)], [None, None, 1.0]),
    "equal questions get equal answers": ([("R1", 1, 1, 1.0)], [("R1", 3), ("R1", 3)], [1.0, 1.0]),
    "an empty history answers": ([], [("R1", 3)], [None]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_newest_visible_row_is_joined(name: str, tmp_path: Path) -> None:
    rows, asked, expected = CASES[name]
    assert _ask(tmp_path, _stored(rows), asked) == expected


def test_a_value_older_than_its_ttl_is_missing(tmp_path: Path) -> None:
    stored = _stored([("R1", 1, 1, 1.0), ("R1", 2, 2, 2.0)])
    assert _ask(tmp_path, stored, [("R1", 5), ("R1", 5.01), ("R1", 1.5)], ttl_hours=3) == [2.0, None, 1.0]


@pytest.mark.parametrize("ttl_hours", [0, 30])
def test_hot_keys_with_ties_and_late_rows_equal_the_oracle(tmp_path: Path, ttl_hours: int) -> None:
    draw = random.Random(5)  # noqa: S311 - made-up rows
    rows = []
    for number in range(400):
        happened = draw.randrange(0, 300)
        rows.append((draw.choice(("R1", "R2")), happened, happened + draw.choice((0, 0, 1, 50)), float(number)))
    unique = list({row[:3]: row for row in rows}.values())
    asked = [(draw.choice(("R1", "R2", "R3")), draw.randrange(-5, 360)) for _ in range(300)]
    stored = _stored(unique)
    assert _ask(tmp_path, stored, asked, ttl_hours=ttl_hours) == [_oracle(stored, *each, ttl_hours) for each in asked]


def test_entity_rows_without_the_join_key_are_refused() -> None:
    from features.offline_store import AsofRetrievalJob
    from features.point_in_time import RequestedView

    view = RequestedView(
        path="nowhere",
        join_keys={"rep_id": "rep_id"},
        event_column="event_timestamp",
        created_column="",
        ttl=None,
        columns={},
    )
    rows = pa.table({"lead_id": ["L1"]})
    job = AsofRetrievalJob(
        entity_rows=rows, time_column="event_timestamp", views=[view], feature_refs=[], full_feature_names=False
    )
    with pytest.raises(ContractError, match="lack rep_id"):
        job.to_arrow()


def _job(path: str, asked: pa.Table, **options: Any) -> Any:
    from features.point_in_time import RequestedView, join_views

    view = RequestedView(
        path=path,
        join_keys={"rep_id": "rep_id"},
        event_column="event_timestamp",
        created_column="created_timestamp",
        ttl=None,
        columns={"value": "value"},
        **options,
    )
    return join_views(asked, [view], time_column="as_of")


def test_rows_equal_in_key_and_both_times_double_no_entity_row(tmp_path: Path) -> None:
    path = str(tmp_path / "view.parquet")
    pq.write_table(_stored([("R1", 1, 2, 1.0), ("R1", 1, 2, 2.0), ("R1", 0, 0, 3.0)]), path)
    asked = pa.table({"rep_id": ["R1", "R1"], "as_of": pa.array([_at(3), _at(1)], MICROSECONDS)})
    assert _job(path, asked)["value"].to_pylist() == [2.0, 3.0]


def test_a_long_history_is_joined_one_share_of_the_keys_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [(f"R{rep}", hour, hour, float(10 * rep + hour)) for rep in range(7) for hour in range(5)]
    path = str(tmp_path / "view.parquet")
    pq.write_table(_stored(stored), path)
    reps = [f"R{number % 8}" for number in range(40)]
    moments = [number % 6 - 1 for number in range(40)]
    asked = pa.table({"rep_id": reps, "as_of": pa.array([_at(each) for each in moments], MICROSECONDS)})
    whole = _job(path, asked)
    monkeypatch.setattr("features.point_in_time._ROWS_AT_ONCE", 10)
    assert _job(path, asked).equals(whole)
    assert whole["value"].null_count == 12


def test_entity_rows_may_be_an_arrow_table_or_a_query(tmp_path: Path) -> None:
    from features.offline_store import _entity_rows

    asked = pa.table({"rep_id": ["R1"], "event_timestamp": pa.array([_at(3)], MICROSECONDS)})
    pq.write_table(asked, tmp_path / "asked.parquet")
    assert _entity_rows(asked) is asked
    assert _entity_rows(f"SELECT * FROM '{tmp_path}/asked.parquet'").equals(asked)
    assert _entity_rows(asked.to_pandas())["rep_id"].to_pylist() == ["R1"]
    with pytest.raises(ContractError, match="must be a data frame, an Arrow table or a query"):
        _entity_rows(3)


def test_no_entity_rows_give_no_rows(tmp_path: Path) -> None:
    path = str(tmp_path / "view.parquet")
    pq.write_table(_stored([("R1", 1, 2, 1.0)]), path)
    asked = pa.table({"rep_id": pa.array([], pa.string()), "as_of": pa.array([], MICROSECONDS)})
    assert _job(path, asked).num_rows == 0
