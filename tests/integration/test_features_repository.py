"""The whole path: warehouse, offline files, Feast, online store, payload; equal features on each."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from common.errors import ContractError, NotFoundError, UnavailableError
from common.settings import OnlineStoreSettings
from common.workspace import Workspace
from features.catalogue import features_of
from features.repository import FeatureRepository
from features.spines import deal_history_spine, lead_history_spine, open_deal_spine, open_lead_spine
from warehouse.contracts import CONTRACTS
from warehouse.store import Warehouse

START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=70)


def _row(happened: float, known: float | None = None, **columns: Any) -> dict[str, Any]:
    moments = [START + timedelta(days=each) for each in (happened, happened if known is None else known)]
    return {**columns, "event_timestamp": moments[0], "created_timestamp": moments[1]}


def _leads() -> list[dict[str, Any]]:
    rows = []
    for number in range(12):
        columns = {
            "lead_id": f"L{number}",
            "lead_created_at": START + timedelta(days=number),
            "source": ("web", "ads")[number % 2],
            "landing_page": ("a", "b", None)[number % 3],
            "rep_id": ("R1", "R2", None)[number % 3],
            "industry": "retail",
            "employee_count": None if number % 4 else 10 * number,
            "title": "Sales Director",
            "email": "x@gmail.com",
        }
        rows.append(_row(number, number + 0.5 * (number % 2), **columns, status="new"))
        if number % 3 == 0:
            rows.append(_row(number + 6, number + 7, **columns, status="converted" if number % 2 else "working"))
    return rows


def _deals() -> list[dict[str, Any]]:
    rows = []
    for number in range(8):
        columns = {
            "opportunity_id": f"D{number}",
            "opened_at": START + timedelta(days=3 * number),
            "rep_id": f"R{number % 2 + 1}",
            "amount_usd": 1000.5 * number,
            "close_date": (START + timedelta(days=80)).date(),
        }
        rows.append(_row(3 * number, **columns, status="open", stage="qualify"))
        pushed = {**columns, "close_date": (START + timedelta(days=90 + number)).date(), "competitor": "Acme"}
        rows.append(_row(3 * number + 4, 3 * number + 5, **pushed, status="open", stage="propose"))
        if number < 4:
            rows.append(_row(40 + number, **pushed, status=("won", "lost")[number % 2], stage="closed"))
    return rows


def _events() -> list[dict[str, Any]]:
    kinds = ("page_view", "pricing_view", "email_open", "demo_request")
    return [
        _row(n % 70, n % 70 + n % 3, event_id=str(n), lead_id=f"L{n % 12}", kind=kinds[n % 4], duration_seconds=n * 0.7)
        for n in range(150)
    ]


def _activities() -> list[dict[str, Any]]:
    kinds = ("email", "call", "meeting", "demo", "task")
    return [
        _row(
            n % 70,
            activity_id=str(n),
            opportunity_id=f"D{n % 8}",
            lead_id=f"L{n % 9}" if n % 2 else None,
            kind=kinds[n % 5],
            direction=("inbound", "outbound", None)[n % 3],
            duration_minutes=n * 1.1,
            participant_count=n % 4,
            contact_id=f"C{n % 3}",
        )
        for n in range(120)
    ]


TABLES = {
    "leads": _leads(),
    "opportunities": _deals(),
    "lead_events": _events(),
    "activities": _activities(),
    "reps": [_row(0, rep_id=rep, team="T1", region="N") for rep in ("R1", "R2", "R3")],
    "transactions": [_row(40, transaction_id="1", rep_id="R1", amount_usd=1000.5)],
}


def _fill(warehouse: Warehouse, *names: str) -> Warehouse:
    for name in names or TABLES:
        rows = pa.Table.from_pylist(TABLES[name], schema=CONTRACTS[name].arrow_schema)
        assert warehouse.append(name, rows, origin="test").quarantined == 0
    return warehouse


def _repository(home: Path, *tables: str, store: OnlineStoreSettings | None = None) -> FeatureRepository:
    workspace = Workspace(name="test-one", home=home)
    warehouse = _fill(Warehouse(workspace.warehouse), *tables)
    return FeatureRepository(workspace, warehouse, store or OnlineStoreSettings(kind="sqlite"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> FeatureRepository:
    """Applied, and materialized at NOW."""
    repository = _repository(tmp_path_factory.mktemp("features"))
    repository.apply()
    repository.materialize(NOW)
    return repository


def _training_rows(repository: FeatureRepository, service: str, spine: pa.Table) -> pa.Table:
    repository.build(service, spine)
    return repository.training_frame(service, spine)


def test_training_frame_keeps_the_spine_and_adds_the_catalogue(repository: FeatureRepository) -> None:
    spine = lead_history_spine(repository.warehouse, mode="lifecycle", until=NOW)
    spine = spine.append_column("label", pa.array([place % 2 == 0 for place in range(spine.num_rows)]))
    backwards = spine.take(list(reversed(range(spine.num_rows))))
    frame = _training_rows(repository, "lead_score_v1", backwards)
    expected = features_of("lead_score_v1", repository.warehouse.tables())
    assert frame.select(spine.column_names) == backwards
    assert frame.column_names == [*spine.column_names, *(feature.name for feature in expected)]
    assert [frame.schema.field(each.name).type for each in expected] == [each.arrow_type for each in expected]
    assert frame.take(list(reversed(range(frame.num_rows)))) == _training_rows(repository, "lead_score_v1", spine)


_ONLINE_READ = """
import os, sys
from datetime import datetime
from pathlib import Path
from common.settings import Settings
from common.workspace import Workspace
from features.repository import FeatureRepository
from warehouse.store import Warehouse

settings = Settings(home=Path(sys.argv[1]))
workspace = Workspace.of(settings, sys.argv[2])
repository = FeatureRepository(workspace, Warehouse(workspace.warehouse), settings.online_store)
repository.online("lead_score_v1", ["L1"], at=datetime.fromisoformat(sys.argv[3]))
from prometheus_client.values import MutexValue, ValueClass

assert not [name for name in os.environ if name.startswith("PROMETHEUS_")]
assert ValueClass is MutexValue
"""


def test_feast_leaves_the_process_environment_alone(repository: FeatureRepository) -> None:
    # In a process of its own: BentoML, once imported in this one, sets the same variables.
    arguments = [str(repository.workspace.home), repository.workspace.name, NOW.isoformat()]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_")}
    ran = subprocess.run(
        [sys.executable, "-c", _ONLINE_READ, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_rows_are_computed_once_and_again_when_the_history_grew(tmp_path: Path) -> None:
    repository = _repository(tmp_path)
    repository.apply()
    spine = deal_history_spine(repository.warehouse, mode="weekly", until=NOW)
    told: list[tuple[str, int, int]] = []
    first = repository.build("deal_win_v1", spine.slice(0, 10))
    rest = repository.build("deal_win_v1", spine, progress=lambda *each: told.append(each))
    assert first > 0
    assert rest > 0
    assert repository.build("deal_win_v1", spine) == 0
    assert told[0][:2] == ("deal_state", 0)
    assert told[-1] == ("features", rest, rest)
    late = pa.Table.from_pylist(
        [_row(1, 2, activity_id="late", opportunity_id="D0", kind="call")], schema=CONTRACTS["activities"].arrow_schema
    )
    repository.warehouse.append("activities", late, origin="late")
    # Only what was visible from then on can have changed, and only in views that read activities.
    assert 0 < repository.build("deal_win_v1", spine) < first + rest


def test_a_build_that_died_half_way_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import features.building

    repository = _repository(tmp_path)
    repository.apply()
    spine = deal_history_spine(repository.warehouse, mode="weekly", until=NOW)

    def dies(files: Any, connection: Any) -> int:
        if files.view.name == "deal_state":
            return whole(files, connection)
        (files.folder / "part-x.parquet.unfinished").write_bytes(b"half a file")
        raise KeyboardInterrupt

    whole = features.building._compute_chunk
    with monkeypatch.context() as patch:
        patch.setattr(features.building, "_compute_chunk", dies)
        with pytest.raises(KeyboardInterrupt):
            repository.build("deal_win_v1", spine)
    assert repository.build("deal_win_v1", spine) > 0
    assert repository.training_frame("deal_win_v1", spine).num_rows == spine.num_rows


def test_a_lead_has_equal_features_in_training_online_and_from_its_payload(repository: FeatureRepository) -> None:
    spine = open_lead_spine(repository.warehouse, NOW)
    trained = _training_rows(repository, "lead_score_v1", spine).to_pylist()
    ids = spine["lead_id"].to_pylist()
    online = repository.online("lead_score_v1", ids, at=NOW)
    names = [feature.name for feature in features_of("lead_score_v1", repository.warehouse.tables())]
    assert len(ids) > 5
    for place, row in enumerate(trained):
        payload = {
            "lead": [each for each in TABLES["leads"] if each["lead_id"] == ids[place]],
            "events": [each for each in TABLES["lead_events"] if each["lead_id"] == ids[place]],
            "activities": [each for each in TABLES["activities"] if each.get("lead_id") == ids[place]],
        }
        given = repository.from_payload("lead_score_v1", payload, at=NOW)
        for name in names:
            assert online.values[name][place] == row[name], name
            assert given.values[name] == [row[name]], name


def test_a_deal_has_equal_features_in_training_online_and_from_its_payload(repository: FeatureRepository) -> None:
    spine = open_deal_spine(repository.warehouse, NOW)
    trained = _training_rows(repository, "deal_win_v1", spine).to_pylist()
    ids = spine["opportunity_id"].to_pylist()
    online = repository.online("deal_win_v1", ids, at=NOW)
    assert ids == ["D4", "D5", "D6", "D7"]
    for place, row in enumerate(trained):
        payload = {
            "deal": [each for each in TABLES["opportunities"] if each["opportunity_id"] == ids[place]],
            "activities": [each for each in TABLES["activities"] if each["opportunity_id"] == ids[place]],
        }
        given = repository.from_payload("deal_win_v1", payload, at=NOW)
        for name, values in online.values.items():
            assert values[place] == row[name], name
            assert given.values[name] == [row[name]], name


def test_online_says_what_was_found_and_how_old_it_is(repository: FeatureRepository) -> None:
    answer = repository.online("lead_score_v1", ["L1", "nobody", "L2"], at=NOW + timedelta(hours=2))
    assert answer.ids == ("L1", "nobody", "L2")
    assert answer.found == (True, False, True)
    assert answer.feature_timestamps == (NOW, None, NOW)
    assert answer.values["lead_source"] == ["ads", None, "web"]
    assert answer.values["win_rate_rep_365d"][2] is None  # no rep: missing, not zero
    assert answer.expired == ((), (), ())


def test_values_older_than_their_ttl_are_missing_and_listed(repository: FeatureRepository) -> None:
    week_later = repository.online("lead_score_v1", ["L1"], at=NOW + timedelta(days=8))
    assert week_later.found == (True,)
    assert week_later.values["count_page_view_7d"] == [None]
    assert week_later.values["lead_source"] == ["ads"]
    assert "count_page_view_7d" in week_later.expired[0]
    assert "lead_source" not in week_later.expired[0]
    assert week_later.feature_timestamps == (NOW,)
    # Once the profile has expired nobody knows the lead's rep and segment any more.
    month_later = repository.online("lead_score_v1", ["L1"], at=NOW + timedelta(days=20))
    assert all(values == [None] for values in month_later.values.values())
    assert set(month_later.expired[0]) == set(month_later.values)


def test_values_of_the_future_are_not_visible(repository: FeatureRepository) -> None:
    earlier = repository.online("lead_score_v1", ["L1"], at=NOW - timedelta(days=1))
    assert earlier.found == (False,)
    assert earlier.values["lead_source"] == [None]


def test_a_decided_thing_is_not_materialized(repository: FeatureRepository) -> None:
    assert repository.online("deal_win_v1", ["D0", "D4"], at=NOW).found == (False, True)


def test_a_new_segment_and_rep_are_treated_as_in_training(repository: FeatureRepository) -> None:
    payload = {"lead": {"lead_created_at": NOW, "source": "web", "landing_page": "brand-new", "rep_id": "R99"}}
    answer = repository.from_payload("lead_score_v1", payload, at=NOW)
    assert answer.values["count_leads_segment_365d"] == [0]
    known = repository.online("lead_score_v1", ["L0"], at=NOW)
    assert answer.values["conversion_rate_source_365d"] == known.values["conversion_rate_source_365d"]
    assert answer.values["conversion_rate_segment_365d"] == answer.values["conversion_rate_source_365d"]
    assert answer.values["count_closed_deals_rep_365d"] == [0]
    assert answer.values["win_rate_rep_365d"] == [0.5]


def test_many_threads_read_at_once(repository: FeatureRepository) -> None:
    expected = repository.online("lead_score_v1", ["L1", "L2"], at=NOW)
    payload = {"lead": TABLES["leads"][0], "events": TABLES["lead_events"][:1]}
    given = repository.from_payload("lead_score_v1", payload, at=NOW)
    answers: list[bool] = []

    def ask() -> None:
        answers.extend(repository.online("lead_score_v1", ["L1", "L2"], at=NOW) == expected for _ in range(15))
        answers.append(repository.from_payload("lead_score_v1", payload, at=NOW) == given)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * (4 * 16)


def test_a_source_with_leads_only_has_a_lead_service(tmp_path: Path) -> None:
    repository = _repository(tmp_path, "leads")
    assert repository.apply() == ("lead_profile", "lead_repeats", "segment_history", "rep_leads")
    assert repository.materialize(NOW).keys() == {"lead_profile", "lead_repeats", "segment_history", "rep_leads"}
    spine = lead_history_spine(repository.warehouse, mode="creation", until=NOW)
    assert "win_rate_rep_365d" not in _training_rows(repository, "lead_score_v1", spine).column_names
    assert repository.online("lead_score_v1", ["L1"], at=NOW).found == (True,)
    with pytest.raises(NotFoundError, match="no rows in opportunities"):
        repository.online("deal_win_v1", ["D1"], at=NOW)


def test_apply_forgets_views_that_lost_their_tables(tmp_path: Path) -> None:
    whole = _repository(tmp_path)
    assert "deal_state" in whole.apply()
    leads_only = FeatureRepository(
        whole.workspace, _fill(Warehouse(tmp_path / "other"), "leads"), OnlineStoreSettings(kind="sqlite")
    )
    assert leads_only.apply() == ("lead_profile", "lead_repeats", "segment_history", "rep_leads")
    assert {view.name for view in leads_only._store().list_feature_views()} == {
        "lead_profile",
        "lead_repeats",
        "segment_history",
        "rep_leads",
    }


def test_questions_before_apply_say_what_to_do(tmp_path: Path) -> None:
    repository = _repository(tmp_path)
    with pytest.raises(UnavailableError, match="never applied"):
        repository.online("lead_score_v1", ["L1"], at=NOW)


def test_rows_that_were_not_built_are_not_made_up(repository: FeatureRepository) -> None:
    moment = pa.array([NOW - timedelta(days=1, seconds=1)], pa.timestamp("us", tz="UTC"))
    none = pa.nulls(1, pa.string())
    keys = {"rep_id": ["R2"], "account_id": none, "stage_id": ["|propose"], "competitor_id": none}
    spine = pa.table({"opportunity_id": ["D5"], "as_of": moment, **keys})
    with pytest.raises(UnavailableError, match="1 rows of view deal_state have not been built"):
        repository.training_frame("deal_win_v1", spine)


def test_a_spine_without_a_key_is_refused(repository: FeatureRepository) -> None:
    spine = open_lead_spine(repository.warehouse, NOW).drop_columns(["segment_id"])
    with pytest.raises(ContractError, match="spine for lead_score_v1 lacks segment_id"):
        repository.build("lead_score_v1", spine)


def _redis_answers() -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("localhost", 6379)) == 0


@pytest.fixture
def redis_address() -> Iterator[str]:
    """A database of a local Redis; the test's own keys are removed from it afterwards."""
    import redis

    yield "localhost:6379,db=15"
    with redis.Redis(host="localhost", port=6379, db=15) as client:
        for key in client.scan_iter(match=b"*salience_test_one*"):
            client.delete(key)


@pytest.mark.skipif(not _redis_answers(), reason="no Redis at localhost:6379")
def test_redis_answers_like_sqlite(repository: FeatureRepository, tmp_path: Path, redis_address: str) -> None:
    on_redis = _repository(tmp_path, store=OnlineStoreSettings(kind="redis", redis_address=redis_address))
    on_redis.apply()
    on_redis.materialize(NOW)
    for moment in (NOW, NOW + timedelta(days=8)):
        asked = on_redis.online("lead_score_v1", ["L1", "nobody", "L2"], at=moment)
        assert asked == repository.online("lead_score_v1", ["L1", "nobody", "L2"], at=moment)
