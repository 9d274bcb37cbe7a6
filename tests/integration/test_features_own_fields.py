"""A source's own fields become features: the same in training, online and from a payload; an answer never does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from common.errors import InputError
from common.settings import OnlineStoreSettings
from common.workspace import Workspace
from features.repository import FeatureRepository
from features.spines import open_lead_spine
from warehouse.contracts import CONTRACTS, Column, Known
from warehouse.store import Warehouse

START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=10)

FIELDS = (
    Column(name="custom_tier", dtype="string", about="Tier of the partner"),
    Column(name="custom_seats", dtype="int", about="Seats asked for."),
    Column(name="custom_fit", dtype="float", about="The source's own score."),
    Column(name="custom_is_partner", dtype="bool", about="Whether it is a partner."),
    Column(name="custom_contract_until", dtype="date", about="End of the present contract."),
    Column(name="custom_remark", dtype="string", about="Free text.", personal=True),
    Column(name="custom_end_state", dtype="string", about="How it ended.", known=Known.AT_OUTCOME),
)
EXPECTED = {"custom_tier": "category", "custom_seats": "int", "custom_fit": "float", "custom_is_partner": "bool"}


def _lead(number: int, happened: float, **columns: object) -> dict[str, object]:
    moment = START + timedelta(days=happened)
    told = {"custom_tier": "gold", "custom_seats": number, "custom_fit": number / 4, "custom_is_partner": number > 1}
    never = {"custom_remark": "a name", "custom_end_state": "won"}
    fixed = {"lead_id": f"L{number}", "lead_created_at": START, "status": "new", "source": "web"}
    return {**fixed, **told, **never, **columns, "event_timestamp": moment, "created_timestamp": moment}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> FeatureRepository:
    workspace = Workspace(name="own-fields", home=tmp_path_factory.mktemp("own_fields"))
    warehouse = Warehouse(workspace.warehouse)
    rows = [_lead(number, number) for number in range(4)] + [_lead(1, 5, custom_tier="silver"), _lead(2, 11)]
    schema = CONTRACTS["leads"].extended(FIELDS).arrow_schema
    loaded = warehouse.append("leads", pa.Table.from_pylist(rows, schema), origin="test", extension=FIELDS)
    assert loaded.quarantined == 0, loaded.reasons
    repository = FeatureRepository(workspace, warehouse, OnlineStoreSettings(kind="sqlite"))
    repository.apply()
    repository.materialize(NOW)
    return repository


def test_own_fields_known_at_any_time_are_features(repository: FeatureRepository) -> None:
    (profile,) = (view for view in repository.views("lead_score_v1") if view.name == "lead_profile")
    own = {feature.name: feature for feature in profile.features if feature.name.startswith("custom_")}
    assert {name: feature.dtype for name, feature in own.items()} == EXPECTED
    assert own["custom_tier"].about == "The source's own field: Tier of the partner."
    assert own["custom_is_partner"].phrase == "its is partner is {value}"


def test_own_fields_are_the_same_on_every_path(repository: FeatureRepository) -> None:
    spine = open_lead_spine(repository.warehouse, NOW)
    repository.build("lead_score_v1", spine)
    trained = repository.training_frame("lead_score_v1", spine).to_pylist()
    online = repository.online("lead_score_v1", spine["lead_id"].to_pylist(), at=NOW)
    assert [row["custom_tier"] for row in trained] == ["gold", "silver", "gold", "gold"]
    assert [row["custom_seats"] for row in trained] == [0, 1, 2, 3]
    for place, row in enumerate(trained):
        told = {name: row[name] for name in EXPECTED}
        payload = {"lead": {"lead_id": row["lead_id"], "lead_created_at": START, "source": "web", **told}}
        given = repository.from_payload("lead_score_v1", payload, at=NOW)
        for name in EXPECTED:
            assert online.values[name][place] == row[name]
            assert given.values[name] == [row[name]]


def test_an_answer_is_no_field_of_a_payload(repository: FeatureRepository) -> None:
    payload = {"lead": {"lead_created_at": START, "custom_end_state": "won"}}
    with pytest.raises(InputError, match=r"no field 'lead\.custom_end_state'"):
        repository.from_payload("lead_score_v1", payload, at=NOW)


def test_a_warehouse_without_own_fields_has_none(tmp_path: Path) -> None:
    workspace = Workspace(name="plain", home=tmp_path)
    warehouse = Warehouse(workspace.warehouse)
    row = {"lead_id": "L1", "lead_created_at": START, "status": "new", "event_timestamp": START}
    rows = [{**row, "created_timestamp": START}]
    warehouse.append("leads", pa.Table.from_pylist(rows, CONTRACTS["leads"].arrow_schema), origin="test")
    repository = FeatureRepository(workspace, warehouse, OnlineStoreSettings(kind="sqlite"))
    names = [feature.name for view in repository.views("lead_score_v1") for feature in view.features]
    assert not any(name.startswith("custom_") for name in names)
