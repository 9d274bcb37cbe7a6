"""Feast's own front doors on our online stores: what its SDK writes and reads is what our path writes and reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from online_stores import content, hour, redis_server, rows_of, view_of

from features.feast_import import feast
from features.materializing import replace_rows
from features.online_reader import OnlineReader
from features.online_store_redis import RedisRows
from features.online_store_rows import RowStore
from features.online_store_sqlite import SqliteRows

__all__ = ["redis_server"]

VIEW = view_of()
FULL = {"score": 0.25, "visits": 7, "is_big": False, "channel": "web", "rep_of_lead": "R1"}
NAMES = [f"lead_view:{name}" for name in FULL]


class Stores:
    """One project in one place, opened by Feast and by us."""

    def __init__(self, folder: Path, online: dict[str, Any], project: str, rows: RowStore) -> None:
        from feast.repo_config import RepoConfig

        self.files, self.rows = folder / f"{project}.parquet", rows
        self.feast = feast().FeatureStore(
            config=RepoConfig(
                project=project,
                provider="local",
                registry=str(folder / f"{project}.db"),
                offline_store={"type": "features.offline_store.AsofOfflineStore"},
                online_store=online,
                entity_key_serialization_version=3,
                repo_path=folder,
            )
        )
        pq.write_table(rows_of(VIEW, 0, {}), self.files)
        self.feast.apply(self.objects())

    def objects(self, *, without: tuple[str, ...] = ()) -> list[Any]:
        """The entity and the view."""
        from feast.types import Bool, Float64, Int64, String

        types = {"score": Float64, "visits": Int64, "is_big": Bool, "channel": String, "rep_of_lead": String}
        field = feast().Field
        lead = feast().Entity(name="lead_id", join_keys=["lead_id"], value_type=feast().ValueType.STRING)
        source = feast().FileSource(
            path=str(self.files), timestamp_field="event_timestamp", created_timestamp_column="created_timestamp"
        )
        fields = [field(name="lead_id", dtype=String)]
        fields += [field(name=name, dtype=dtype) for name, dtype in types.items() if name not in without]
        return [
            lead,
            feast().FeatureView(name="lead_view", entities=[lead], schema=fields, source=source, ttl=timedelta(days=1)),
        ]

    def ask(self, *ids: Any) -> dict[str, list[Any]]:
        """Feast's answer for some ids."""
        answer: dict[str, list[Any]] = self.feast.get_online_features(
            features=NAMES, entity_rows=[{"lead_id": each} for each in ids]
        ).to_dict()
        return answer


@pytest.fixture(params=["sqlite", "redis"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    project = "prod"
    if request.param == "sqlite":
        online = {"type": "features.online_store.SqliteRowOnlineStore", "path": "online.db"}
        rows: RowStore = SqliteRows(tmp_path / "online.db", project=project)
    else:
        address = request.getfixturevalue("redis_server")
        online = {"type": "features.online_store.RedisRowOnlineStore", "connection_string": address}
        rows = RedisRows(address, project=project)
    rows.drop("lead_view")
    yield Stores(tmp_path, online, project, rows)
    rows.drop("lead_view")
    rows.close()


def test_feast_reads_by_name_what_we_wrote_and_knows_who_is_absent(stores: Stores) -> None:
    partial = {**FULL, "score": None, "channel": None}
    replace_rows(stores.rows, VIEW, rows_of(VIEW, 1, {"a": FULL, "b": partial}), at=hour(1))
    asked = stores.ask("b", "nobody", "a")
    assert {name: asked[name] for name in FULL} == {name: [partial[name], None, FULL[name]] for name in FULL}
    response = stores.feast.get_online_features(features=NAMES, entity_rows=[{"lead_id": "a"}, {"lead_id": "x"}])
    names = list(response.proto.metadata.feature_names.val)
    result = response.proto.results[names.index("score")]
    assert [moment.seconds for moment in result.event_timestamps] == [int(hour(1).timestamp()), 0]
    assert [feast_status(each) for each in result.statuses] == ["PRESENT", "NOT_FOUND"]


def feast_status(number: int) -> str:
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    return str(FieldStatus.Name(number))


def test_rows_written_by_feast_and_by_us_are_the_same(stores: Stores) -> None:
    rows = rows_of(VIEW, 1, {"a": FULL, "b": {**FULL, "visits": None, "is_big": None, "rep_of_lead": None}, "c": {}})
    stores.feast.write_to_online_store("lead_view", rows.to_pandas().astype({"visits": "Int64"}))
    by_feast = raw(stores.rows)
    stores.rows.drop("lead_view")
    replace_rows(stores.rows, VIEW, rows, at=hour(1))
    assert by_feast == raw(stores.rows)


def raw(rows: RowStore) -> dict[bytes, bytes]:
    """Stored rows by key, less the time of writing."""
    found = rows.read([("lead_view", sorted(rows.strays("lead_view", [])))])[0].rows
    return {key: row[:18] + row[26:] for key, row in found.items()}


# Ibis calls a name that DuckDB 2.0 wants replaced.
@pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:fetch_record_batch:DeprecationWarning")
def test_feast_materializes_into_it_and_an_older_row_changes_nothing(stores: Stores) -> None:
    pq.write_table(rows_of(VIEW, 2, {"a": FULL, "b": FULL}), stores.files)
    stores.feast.materialize(start_date=hour(0), end_date=hour(3), disable_event_timestamp=False)
    assert content(stores.rows, VIEW) == {"a": (hour(2), FULL), "b": (hour(2), FULL)}
    old = rows_of(VIEW, 1, {"a": {**FULL, "visits": 99}})
    stores.feast.write_to_online_store("lead_view", old.to_pandas())
    assert stores.ask("a")["visits"] == [7]


def test_a_wrongly_typed_key_is_nobodys(stores: Stores) -> None:
    replace_rows(stores.rows, VIEW, rows_of(VIEW, 1, {"1": FULL}), at=hour(1))
    assert OnlineReader(stores.rows).read(VIEW, ["1"]).keys() == {"1"}
    assert stores.ask("2")["visits"] == [None]


def test_a_feature_that_is_gone_from_the_view_is_not_read_and_its_rows_stay(stores: Stores) -> None:
    replace_rows(stores.rows, VIEW, rows_of(VIEW, 1, {"a": FULL}), at=hour(1))
    stores.feast.apply(stores.objects(without=("visits",)))
    asked = stores.feast.get_online_features(features=["lead_view:score"], entity_rows=[{"lead_id": "a"}]).to_dict()
    assert asked == {"lead_id": ["a"], "score": [0.25]}
    assert content(stores.rows, VIEW) == {"a": (hour(1), FULL)}


def test_teardown_and_a_deleted_view_leave_other_projects_alone(stores: Stores) -> None:
    other = Stores(stores.files.parent, stores.feast.config.online_store.model_dump(), "preprod", stores.rows)
    for each in (stores, other):
        each.feast.write_to_online_store("lead_view", rows_of(VIEW, 1, {"a": FULL}).to_pandas())
    stores.feast.teardown()
    assert other.ask("a")["visits"] == [7]
    other.feast.apply([], objects_to_delete=[other.feast.get_feature_view("lead_view")], partial=False)
    assert not content_or_nothing(other)


def content_or_nothing(stores: Stores) -> bool:
    """Whether the project's online rows are still there."""
    from feast.errors import FeatureViewNotFoundException

    try:
        stores.ask("a")
    except FeatureViewNotFoundException:
        return False
    return True
