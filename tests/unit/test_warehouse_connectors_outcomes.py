"""What is known only at closing stays there; what is left out, renamed or lost is told; editors know the mapping."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from common.errors import SourceError
from warehouse.contracts import Known
from warehouse.ingest import ingest
from warehouse.mapping import Mapping, mapping_json_schema
from warehouse.sources import read_mapping
from warehouse.store import Warehouse

ROOT = Path(__file__).parents[2]
MAPPINGS = sorted((ROOT / "warehouse" / "mappings").glob("*.yaml"))

DEALS: dict[str, Any] = {
    "path": "deals.csv",
    "format": "csv",
    "columns": {
        "id": "string",
        "opened": "timestamp",
        "closed": {"type": "timestamp", "known": "at_outcome", "why": "the moment of the answer"},
        "value": {"type": "float", "known": "at_outcome", "why": "0 for every lost deal"},
        "product": "string",
    },
}
OPENED: dict[str, Any] = {
    "table": "opportunities",
    "from": "deals",
    "event_timestamp": "opened",
    "created_timestamp": "opened",
    "columns": {"opportunity_id": "id", "opened_at": "opened", "status": "'open'", "stage": "'new'"},
}
CLOSED: dict[str, Any] = OPENED | {
    "where": "closed IS NOT NULL",
    "at_closing": True,
    "event_timestamp": "closed",
    "created_timestamp": "closed",
    "columns": OPENED["columns"] | {"status": "'won'", "amount_usd": "value"},
}
MAPPING: dict[str, Any] = {"name": "mine", "about": "-", "files": {"deals": DEALS}, "tables": [OPENED, CLOSED]}


def fault(**changed: Any) -> str:
    with pytest.raises(ValueError, match="validation error") as caught:
        Mapping.model_validate(MAPPING | changed)
    return str(caught.value)


def opened(**changed: Any) -> list[dict[str, Any]]:
    return [OPENED | changed]


def test_a_mapping_that_keeps_outcomes_at_the_outcome_is_valid() -> None:
    Mapping.model_validate(MAPPING)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"columns": OPENED["columns"] | {"amount_usd": "value * 2"}}, "amount_usd is known always but reads value"),
        ({"event_timestamp": "coalesce(closed, opened)"}, "event_timestamp is known always but reads closed"),
        ({"extension": {"value": {"type": "float", "about": "-"}}}, "custom_value is known always but reads value"),
        ({"where": "deals.value > 0"}, "which rows there are hangs on value"),
        ({"quarantine": [{"when": "closed < opened", "reason": "-"}]}, "which rows there are hangs on closed"),
    ],
)
def test_an_outcome_in_a_column_known_always_is_refused(changed: dict[str, Any], told: str) -> None:
    assert told in fault(tables=opened(**changed))


@pytest.mark.parametrize(
    ("view", "told"),
    [
        ("SELECT id, opened, value AS size FROM deals", "amount_usd is known always but reads size"),
        (
            "WITH a AS (SELECT *, value + 1 AS b FROM deals) SELECT * EXCLUDE b, coalesce(b, 0) AS size FROM a",
            "amount_usd is known always but reads size",
        ),
        (
            "SELECT id, opened, sum(1) FILTER (closed IS NOT NULL) OVER () AS size FROM deals",
            "amount_usd is known always but reads size",
        ),
        ("SELECT * RENAME (value AS size) FROM deals", "amount_usd is known always but reads size"),
        ("SELECT * REPLACE (value AS size) FROM (SELECT *, 1 AS size FROM deals)", "always but reads size"),
        ("SELECT * FROM (SELECT id, opened, value FROM deals) AS d(id, opened, size)", "always but reads"),
        ("SELECT id, opened, 1 AS size FROM deals WHERE value > 0", "which rows there are hangs on value"),
        ("SELECT d.*, 1 AS size FROM deals d JOIN deals e ON d.value = e.value", "which rows there are hangs on value"),
    ],
)
def test_an_outcome_is_followed_through_views(view: str, told: str) -> None:
    columns = OPENED["columns"] | {"amount_usd": "size"}
    assert told in fault(views={"sized": view}, tables=opened(columns=columns, **{"from": "sized"}))


def test_an_outcome_may_go_where_the_contract_says_it_is_one() -> None:
    extension = {"value": {"type": "float", "about": "-", "known": "at_outcome"}}
    columns = OPENED["columns"] | {"lost_reason": "value::VARCHAR"}
    mapping = Mapping.model_validate(MAPPING | {"tables": opened(columns=columns, extension=extension)})
    assert [column.known for column in mapping.tables[0].extension_columns] == [Known.AT_OUTCOME]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"views": {"x": "SELEC 1"}}, "views.x: syntax error"),
        ({"files": {"deals": DEALS | {"columns": {"id": {"type": "string", "known": "at_outcome"}}}}}, "needs a `why`"),
        ({"files": {"deals": DEALS | {"format": "excel", "columns": {}}}}, "format excel needs its `columns`"),
        ({"files": {"deals": DEALS | {"format": "parquet", "names": ["id"]}}}, "`names` are for text files"),
        ({"files": {"deals": DEALS | {"numbered": "id"}}}, "names the column id, which the file has already"),
        ({"views": {"deals": "SELECT 1"}}, "deals names a file and a view"),
        (
            {"tables": opened(extension={"My field": {"type": "int", "about": "-"}})},
            "My field: names are small letters",
        ),
        ({"references": [{"from": "deals", "column": "id", "to": "x", "key": "id"}]}, "no file is named x"),
        (
            {"references": [{"from": "deals", "column": "x", "to": "deals", "key": "id"}]},
            "has no column x; there are id",
        ),
    ],
)
def test_a_faulty_mapping_is_told(changed: dict[str, Any], told: str) -> None:
    assert told in fault(**changed)


def test_aliases_join_and_values_without_a_partner_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "deals.csv").write_text(
        "id,opened,closed,value,product\na,2025-01-01,,,GTXPro\nb,2025-01-02,,,GTX-Plus\nc,2025-01-03,,,\n"
    )
    (folder / "products.csv").write_text("name\nGTX Pro\nGTX Plus\n")
    products = {"path": "products.csv", "format": "csv", "columns": {"name": "string"}}
    reference = {"from": "deals", "column": "product", "to": "products", "key": "name"}
    changed = {
        "files": {"deals": DEALS, "products": products},
        "tables": opened(columns=OPENED["columns"] | {"product_id": "product"}),
        "references": [reference | {"aliases": {"GTXPro": "GTX Pro"}}],
        "notes": ["Made up."],
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MAPPING | changed))
    warehouse = Warehouse(tmp_path / "warehouse")
    told = {(remark.topic, remark.text) for remark in ingest(read_mapping(path), folder, warehouse).remarks}
    assert told == {
        ("source", "Made up."),
        ("outcome", "deals: closed: known only at closing (the moment of the answer)"),
        ("outcome", "deals: value: known only at closing (0 for every lost deal)"),
        ("reference", "deals.product: 'GTXPro' (1 rows) joined to 'GTX Pro'"),
        ("reference", "deals.product: not in products.name: 'GTX-Plus' (1 rows, perhaps 'GTX Plus')"),
    }
    stored = warehouse.duckdb().execute("SELECT product_id FROM opportunities ORDER BY 1 NULLS LAST").fetchall()
    assert stored == [("GTX Pro",), ("GTX-Plus",), (None,)]


def test_the_example_mapping_reads_the_example_file(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    report = ingest(read_mapping(ROOT / "examples" / "mapping.yaml"), ROOT / "examples", warehouse)
    count = report["activities"]
    assert (count.read, count.loaded, count.quarantined) == (4, 3, 1)
    assert count.reasons == {"Began cannot be read as timestamp": 1}
    rows = warehouse.duckdb().execute(
        """SELECT activity_id, event_timestamp::VARCHAR, created_timestamp::VARCHAR, direction, duration_minutes
           FROM activities ORDER BY activity_id"""
    )
    assert rows.fetchall() == [
        ("c-1", "2025-01-06 08:30:00+00", "2025-01-06 17:00:00+00", "outbound", 12.5),
        ("c-2", "2025-01-06 09:15:00+00", "2025-01-06 09:15:00+00", "inbound", None),
        ("c-3", "2025-01-06 23:00:00+00", "2025-01-07 08:40:00+00", "outbound", 3.0),
    ]


def test_the_schema_for_editors_is_the_one_in_docs() -> None:
    kept = json.loads((ROOT / "docs" / "mapping.schema.json").read_text(encoding="utf-8"))
    assert kept == mapping_json_schema(), "write mapping_json_schema() there anew"


def test_every_field_of_a_mapping_is_described() -> None:
    bare = [name for name, field in _fields(mapping_json_schema()) if "description" not in field]
    assert bare == []


def _fields(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        properties = schema.get("properties", {})
        yield from properties.items()
        for child in schema.values():
            yield from _fields(child)


@pytest.mark.parametrize("path", [*MAPPINGS, ROOT / "examples" / "mapping.yaml"], ids=lambda path: path.stem)
def test_every_shipped_mapping_names_its_schema_and_keeps_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    schema = json.loads((path.parent / first.partition("=")[2]).read_text(encoding="utf-8"))
    jsonschema.validate(_as_json(yaml.safe_load(path.read_text(encoding="utf-8"))), schema)
    read_mapping(path)


def _as_json(content: Any) -> Any:
    return json.loads(json.dumps(content, default=lambda moment: moment.isoformat()))


def test_a_faulty_word_in_a_mapping_is_seen_by_the_schema() -> None:
    with pytest.raises(jsonschema.ValidationError, match="fils"):
        jsonschema.validate(MAPPING | {"fils": {}}, mapping_json_schema())


def test_a_mapping_of_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("")
    with pytest.raises(SourceError, match="is not valid"):
        read_mapping(path)
