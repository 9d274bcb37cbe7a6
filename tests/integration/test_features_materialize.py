"""Materializing a repository: only what changed, what is closed goes, and Feast's SDK reads the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from common.errors import InputError
from common.settings import OnlineStoreSettings
from common.workspace import Workspace
from features.repository import FeatureRepository
from warehouse.contracts import CONTRACTS
from warehouse.store import Warehouse

START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=20)


def _lead(number: int, day: float, **columns: Any) -> dict[str, Any]:
    moment = START + timedelta(days=day)
    created = START + timedelta(days=number / 10)
    given = {"source": "web", "landing_page": "a", "employee_count": 10 * number, "status": "new", **columns}
    return {
        "lead_id": f"L{number}",
        "lead_created_at": created,
        **given,
        "event_timestamp": moment,
        "created_timestamp": moment,
    }


@pytest.fixture
def repository(tmp_path: Path) -> FeatureRepository:
    workspace = Workspace(name="test-two", home=tmp_path)
    repository = FeatureRepository(workspace, Warehouse(workspace.warehouse), OnlineStoreSettings(kind="sqlite"))
    _append(repository, [_lead(number, number / 10) for number in range(30)])
    repository.apply()
    return repository


def _append(repository: FeatureRepository, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows, schema=CONTRACTS["leads"].arrow_schema)
    assert repository.warehouse.append("leads", table, origin="test").loaded == len(rows)


def test_only_what_changed_is_written_and_all_counts_as_known_now(repository: FeatureRepository) -> None:
    assert repository.materialize(NOW)["lead_profile"] == 30
    assert repository.materialize(NOW)["lead_profile"] == 0
    changed = [_lead(3, 19.5, employee_count=7_000), _lead(4, 19.5, status="converted"), _lead(30, 19.5)]
    _append(repository, changed)
    assert repository.materialize(NOW)["lead_profile"] == 2
    later = NOW + timedelta(days=1)
    repository.materialize(later)
    answer = repository.online("lead_score_v1", ["L3", "L4", "L30", "L5"], at=later)
    assert answer.found == (True, False, True, True)
    assert answer.view_timestamps["lead_profile"] == (later, None, later, later)
    assert answer.values["lead_source"] == ["web", None, "web", "web"]


def test_rows_that_never_changed_live_as_long_as_they_are_materialized(repository: FeatureRepository) -> None:
    for days in (0, 10, 20):
        repository.materialize(NOW + timedelta(days=days))
    at = NOW + timedelta(days=21)
    assert repository.online("lead_score_v1", ["L5"], at=at).values["lead_source"] == ["web"]
    abandoned = repository.online("lead_score_v1", ["L5"], at=at + timedelta(days=100))
    assert abandoned.values["lead_source"] == [None]
    assert abandoned.view_timestamps["lead_profile"] == (NOW + timedelta(days=20),)


def test_an_earlier_moment_needs_an_empty_store(repository: FeatureRepository) -> None:
    repository.materialize(NOW)
    earlier = NOW - timedelta(days=1)
    with pytest.raises(InputError, match="which is later than"):
        repository.materialize(earlier)
    repository.empty_online()
    assert repository.online("lead_score_v1", ["L5"], at=NOW).found == (False,)
    assert repository.materialize(earlier)["lead_profile"] == 30
    assert repository.online("lead_score_v1", ["L5"], at=NOW).feature_timestamps == (earlier,)


def test_the_sdk_of_feast_reads_what_we_read(repository: FeatureRepository) -> None:
    repository.materialize(NOW)
    ids = ["L7", "nobody", "L2"]
    ours = repository.online("lead_score_v1", ids, at=NOW)
    store = repository._store()
    names = [f"lead_profile:{name}" for name in ours.values if name in _features_of(store, "lead_profile")]
    theirs = store.get_online_features(features=names, entity_rows=[{"lead_id": each} for each in ids]).to_dict()
    assert len(names) > 3
    for name in (each.split(":")[1] for each in names):
        assert theirs[name] == ours.values[name], name


def _features_of(store: Any, view: str) -> set[str]:
    return {field.name for field in store.get_feature_view(view).features}


# Ibis calls names that DuckDB 2.0 wants replaced.
@pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:fetch_record_batch:DeprecationWarning")
def test_feasts_own_materialize_writes_what_ours_writes(repository: FeatureRepository) -> None:
    repository.materialize(NOW)
    ids = [f"L{number}" for number in range(30)]
    ours = repository.online("lead_score_v1", ids, at=NOW)
    repository.empty_online()
    repository._store().materialize(start_date=START, end_date=NOW + timedelta(hours=1))
    assert repository.online("lead_score_v1", ids, at=NOW) == ours


def test_progress_tells_views_then_rows(repository: FeatureRepository) -> None:
    told: list[tuple[str, int, int]] = []
    repository.materialize(NOW, progress=lambda *each: told.append(each))
    assert ("lead_profile", 30, 30) in told
