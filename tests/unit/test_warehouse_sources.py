"""Sources and their mapping files: what is valid, and what a faulty one is told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.errors import SourceError
from warehouse.contracts import CONTRACTS
from warehouse.sources import find_source, load_source, read_mapping, source_names

VALID: dict[str, Any] = {
    "name": "mine",
    "about": "A test.",
    "files": {"calls": {"path": "calls.csv", "format": "csv", "columns": {"id": "string", "day": "timestamp"}}},
    "tables": [
        {
            "table": "activities",
            "from": "calls",
            "event_timestamp": "day",
            "created_timestamp": "day",
            "columns": {"activity_id": "id", "kind": "'call'"},
        }
    ],
    "models": {},
}


def fault(tmp_path: Path, **changed: Any) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(VALID | changed))
    with pytest.raises(SourceError) as caught:
        read_mapping(path)
    return str(caught.value)


def test_a_valid_mapping_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(VALID))
    source = read_mapping(path)
    assert (source.name, source.tables, source.tasks) == ("mine", ("activities",), ())


def test_the_public_sets_and_the_simulator_are_sources() -> None:
    public = {"olist", "marketstar", "maven", "xedu", "bpic2012", "bank", "cdnow", "tourism", "stallion"}
    assert public | {"simulated"} <= set(source_names())
    assert list(source_names()) == sorted(source_names())


def test_ones_own_files_need_a_mapping_and_are_read_by_it(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"'csv' is your own files and needs a mapping.*salience mapping suggest FILE"
    ):
        find_source("csv")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(VALID))
    assert find_source("csv", mapping=path).name == "mine"
    assert find_source("olist").name == "olist"


def test_a_mapping_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"mine\.yaml cannot be read"):
        find_source("csv", mapping=tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("simulated", ("lead", "deal", "forecast")),
        ("olist", ("lead",)),
        ("bpic2012", ("deal",)),
        ("tourism", ("forecast",)),
        ("marketstar", ("lead",)),
        ("maven", ("deal",)),
        ("xedu", ("lead",)),
        ("bank", ("lead",)),
        ("stallion", ("forecast",)),
        ("cdnow", ()),
    ],
)
def test_each_source_feeds_its_models(name: str, tasks: tuple[str, ...]) -> None:
    assert load_source(name).tasks == tasks


def test_the_protocols_of_the_public_sets_are_those_of_their_references() -> None:
    lead, deal, forecast = load_source("olist").lead, load_source("bpic2012").deal, load_source("tourism").forecast
    assert lead is not None
    assert deal is not None
    assert forecast is not None
    assert (lead.horizon_days, lead.spine, lead.test_from) == (60, "creation", datetime(2018, 4, 1, tzinfo=UTC))
    assert (deal.spine, deal.test_share) == ("stage_entries", 0.3)
    assert deal.stages == ("submitted", "preaccepted", "accepted", "offer_sent", "sent_back")
    assert (forecast.kind, forecast.frequency, forecast.season_length, forecast.test_periods) == ("series", "QS", 4, 8)


def test_the_simulated_source_takes_every_table_a_simulator_writes() -> None:
    assert set(load_source("simulated").tables) == set(CONTRACTS) - {"series_values"}


def test_nothing_that_exists_only_for_winners_is_mapped_from_olist() -> None:
    source = load_source("olist")
    assert set(source.mapping.files["closed_deals"].columns) == {"mql_id", "won_date"}
    features = [set(table.columns) for table in source.mapping.tables]
    assert features[0] == features[1] == {"lead_id", "lead_created_at", "status", "source", "landing_page"}


def test_an_unknown_source_is_told_the_known_ones() -> None:
    with pytest.raises(SourceError, match=r"There is no source 'salesfarce'.*bank, bpic2012, cdnow"):
        load_source("salesfarce")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"about": None}, "about: Input should be a valid string"),
        ({"fils": {}}, "fils: Extra inputs are not permitted"),
        ({"time_zone": "Brasilia"}, "'Brasilia' is no IANA time zone"),
        ({"tables": [VALID["tables"][0] | {"from": "mails"}]}, "no file or view is named mails; there are calls"),
        ({"tables": [VALID["tables"][0] | {"table": "calls"}]}, "'calls' is no canonical table; there are accounts"),
        ({"tables": [VALID["tables"][0] | {"columns": {"activity_id": "id"}}]}, "activities lacks its required kind"),
        (
            {"tables": [VALID["tables"][0] | {"columns": {"activity_id": "id", "kind": "'call'", "mood": "1"}}]},
            "activities has no column mood",
        ),
        (
            {"tables": [VALID["tables"][0] | {"created_timestamp": None}]},
            "activities needs event_timestamp and created",
        ),
        ({"models": {"lead": {"horizon_days": 9, "spine": "creation"}}}, "give either test_from or test_share"),
        (
            {"models": {"lead": {"horizon_days": 9, "spine": "creation", "test_from": datetime(2020, 1, 1)}}},
            "Input should have timezone info",
        ),
    ],
)
def test_a_faulty_mapping_is_told_where_and_what(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    told = fault(tmp_path, **changed)
    assert "mine.yaml is not valid" in told
    assert message in told


def test_a_file_that_is_no_yaml_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: [")
    with pytest.raises(SourceError, match="is no YAML"):
        read_mapping(path)
