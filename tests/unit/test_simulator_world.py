"""The simulated CRM as files: contracts, the cut, references, what is known when, the same bytes again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from warehouse.contracts import CONTRACTS
from warehouse.simulator import SimulationConfig, simulate

TABLES = sorted(set(CONTRACTS) - {"series_values"})
SMALL = SimulationConfig(years=1, reps=16, leads=1_500, deals=500)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    simulate(SMALL, landing=folder / "landing", truth=folder / "truth")
    return folder


@pytest.fixture
def sql(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    for file in folder.glob("*/*.parquet"):
        connection.execute(f"CREATE VIEW {file.stem} AS SELECT * FROM '{file}'")
    yield connection
    connection.close()


def count(sql: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(sql.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0])


def digests(folder: Path) -> dict[str, str]:
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in sorted(folder.glob("*/*.parquet"))}


def test_the_same_configuration_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    simulate(SMALL, landing=tmp_path / "landing", truth=tmp_path / "truth")
    assert digests(tmp_path) == digests(folder)


def test_another_seed_gives_another_world(folder: Path, tmp_path: Path) -> None:
    simulate(
        SimulationConfig(years=1, reps=16, leads=1_500, deals=500, seed=8),
        landing=tmp_path / "landing",
        truth=tmp_path / "truth",
    )
    assert digests(tmp_path)["leads.parquet"] != digests(folder)["leads.parquet"]


def test_rows_are_counted_and_progress_reaches_the_total(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    rows = simulate(
        SimulationConfig(years=1, reps=8, leads=60, deals=20),
        landing=tmp_path / "landing",
        truth=tmp_path / "truth",
        progress=lambda what, done, total: seen.append((what, done, total)),
    )
    assert sorted(rows) == TABLES
    assert all(pq.read_metadata(tmp_path / "landing" / f"{table}.parquet").num_rows == rows[table] for table in TABLES)
    assert [done for _, done, _ in seen] == list(range(6))
    assert seen[-1][1] == seen[-1][2]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_has_exactly_the_columns_of_its_contract(folder: Path, table: str) -> None:
    schema = pq.read_schema(folder / "landing" / f"{table}.parquet")
    assert schema.remove_metadata() == CONTRACTS[table].arrow_schema


@pytest.mark.parametrize("table", TABLES)
def test_rows_keep_the_contract_and_nothing_is_later_than_the_end(sql: duckdb.DuckDBPyConnection, table: str) -> None:
    latest = sql.execute(f"SELECT max(event_timestamp), max(created_timestamp), count(*) FROM {table}").fetchall()[0]
    assert latest[0] <= SMALL.end
    assert latest[1] <= SMALL.end
    assert latest[2] > 0
    for column in CONTRACTS[table].columns:
        if column.required:
            assert count(sql, f"SELECT 1 FROM {table} WHERE {column.name} IS NULL") == 0
        if column.minimum is not None:
            assert count(sql, f"SELECT 1 FROM {table} WHERE {column.name} < {column.minimum}") == 0
        if column.maximum is not None:
            assert count(sql, f"SELECT 1 FROM {table} WHERE {column.name} > {column.maximum}") == 0
        if column.allowed is not None:
            assert count(sql, f"SELECT 1 FROM {table} WHERE {column.name} NOT IN {column.allowed}") == 0


@pytest.mark.parametrize("table", TABLES)
def test_nothing_is_known_before_it_happens(sql: duckdb.DuckDBPyConnection, table: str) -> None:
    assert count(sql, f"SELECT 1 FROM {table} WHERE created_timestamp < event_timestamp") == 0


@pytest.mark.parametrize("table", ["lead_events", "activities", "transactions"])
def test_event_ids_are_unique(sql: duckdb.DuckDBPyConnection, table: str) -> None:
    key = CONTRACTS[table].key
    assert count(sql, f"SELECT {key} FROM {table} GROUP BY 1 HAVING count(*) > 1") == 0


@pytest.mark.parametrize(
    ("table", "column", "target", "key"),
    [
        ("opportunities", "account_id", "accounts", "account_id"),
        ("opportunities", "product_id", "products", "product_id"),
        ("opportunities", "rep_id", "reps", "rep_id"),
        ("opportunities", "lead_id", "leads", "lead_id"),
        ("activities", "opportunity_id", "opportunities", "opportunity_id"),
        ("transactions", "opportunity_id", "opportunities", "opportunity_id"),
        ("lead_events", "campaign_id", "campaigns", "campaign_id"),
        ("leads", "rep_id", "reps", "rep_id"),
        ("accounts", "territory_id", "territories", "territory_id"),
        ("contacts", "account_id", "accounts", "account_id"),
    ],
)
def test_references_lead_somewhere(
    sql: duckdb.DuckDBPyConnection, table: str, column: str, target: str, key: str
) -> None:
    used = count(sql, f"SELECT 1 FROM {table} WHERE {column} IS NOT NULL")
    lost = count(
        sql, f"SELECT 1 FROM {table} t ANTI JOIN {target} g ON t.{column} = g.{key} WHERE t.{column} IS NOT NULL"
    )
    assert used > 0
    assert lost == 0


def test_outcome_columns_are_empty_until_the_outcome(sql: duckdb.DuckDBPyConnection) -> None:
    assert (
        count(
            sql,
            "SELECT 1 FROM leads WHERE (opportunity_id IS NULL) = (status = 'converted') OR (account_id IS NULL) = "
            "(status = 'converted') OR (disqualified_reason IS NULL) = (status = 'disqualified')",
        )
        == 0
    )
    assert count(sql, "SELECT 1 FROM opportunities WHERE (lost_reason IS NULL) = (status = 'lost')") == 0


def test_a_converted_lead_and_its_deal_name_each_other(sql: duckdb.DuckDBPyConnection) -> None:
    pairs = (
        "SELECT l.lead_id, o.lead_id AS back, l.event_timestamp AS moment, o.opened_at FROM leads l "
        "JOIN opportunities o ON l.opportunity_id = o.opportunity_id WHERE l.status = 'converted'"
    )
    assert count(sql, pairs) > 50
    assert count(sql, f"SELECT 1 FROM ({pairs}) WHERE back <> lead_id OR moment <> opened_at") == 0


def test_the_opening_of_a_deal_and_most_leads_are_known_at_once(sql: duckdb.DuckDBPyConnection) -> None:
    first = "SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY event_timestamp) AS n FROM {table}"
    deals = first.format(key="opportunity_id", table="opportunities")
    assert (
        count(sql, f"SELECT 1 FROM ({deals}) WHERE n = 1 AND (created_timestamp > opened_at OR status <> 'open')") == 0
    )
    leads = first.format(key="lead_id", table="leads")
    late = f"SELECT source FROM ({leads}) WHERE n = 1 AND created_timestamp > lead_created_at"
    assert {row[0] for row in sql.execute(f"SELECT DISTINCT source FROM ({late})").fetchall()} == {
        "trade_show",
        "list_purchase",
    }


def test_nothing_happens_to_a_deal_or_lead_after_its_outcome(sql: duckdb.DuckDBPyConnection) -> None:
    closed = (
        "SELECT opportunity_id, max(event_timestamp) AS moment FROM opportunities WHERE status <> 'open' GROUP BY 1"
    )
    for table in ("opportunities", "activities"):
        assert (
            count(sql, f"SELECT 1 FROM {table} JOIN ({closed}) USING (opportunity_id) WHERE event_timestamp > moment")
            == 0
        )
    over = "status IN ('converted', 'disqualified')"
    ended = f"SELECT lead_id, max(event_timestamp) AS moment FROM leads WHERE {over} GROUP BY 1"
    for table in ("leads", "lead_events", "activities"):
        assert count(sql, f"SELECT 1 FROM {table} JOIN ({ended}) USING (lead_id) WHERE event_timestamp > moment") == 0


def test_a_won_deal_is_booked_once_with_its_final_amount(sql: duckdb.DuckDBPyConnection) -> None:
    won = "SELECT opportunity_id, amount_usd, event_timestamp AS moment FROM opportunities WHERE status = 'won'"
    booked = "SELECT * FROM transactions WHERE opportunity_id IS NOT NULL AND kind <> 'credit'"
    columns = "w.*, b.amount_usd AS money, b.event_timestamp AS paid"
    both = f"SELECT {columns} FROM ({won}) w JOIN ({booked}) b USING (opportunity_id)"
    assert count(sql, both) > 50
    assert count(sql, f"SELECT 1 FROM ({both}) WHERE money <> amount_usd OR paid <> moment") == 0
    assert count(sql, f"SELECT opportunity_id FROM ({booked}) GROUP BY 1 HAVING count(*) > 1") == 0


def test_things_of_a_rep_who_left_belong_to_a_rep_who_is_there(sql: duckdb.DuckDBPyConnection) -> None:
    left = "SELECT rep_id, event_timestamp AS moment FROM reps WHERE NOT is_active"
    assert count(sql, left) > 0
    for table in ("leads", "opportunities", "accounts", "activities"):
        assert count(sql, f"SELECT 1 FROM {table} JOIN ({left}) USING (rep_id) WHERE event_timestamp > moment") == 0


def test_some_records_are_late_missing_and_misspelt(sql: duckdb.DuckDBPyConnection) -> None:
    late, industry, employees = sql.execute(
        "SELECT (SELECT avg((created_timestamp > event_timestamp + INTERVAL 1 DAY)::INT) FROM activities), "
        "avg((industry IS NULL)::INT), avg((employee_count IS NULL)::INT) FROM leads"
    ).fetchall()[0]
    assert late == pytest.approx(0.047, abs=0.02)
    assert industry == pytest.approx(0.12, abs=0.03)
    assert employees == pytest.approx(0.25, abs=0.04)
    assert count(sql, "SELECT DISTINCT industry FROM leads WHERE industry IN ('manufacturing', 'Fin. Services')") == 2


def test_quotas_of_reps_add_up_near_those_of_the_levels_above(sql: duckdb.DuckDBPyConnection) -> None:
    levels = dict(
        sql.execute(
            "SELECT level, sum(amount_usd) FROM quotas WHERE period_start = DATE '2023-04-01' GROUP BY 1"
        ).fetchall()
    )
    assert levels["team"] == pytest.approx(0.95 * levels["rep"], rel=0.01)
    assert levels["region"] == pytest.approx(levels["team"], rel=0.01)
    assert levels["company"] == pytest.approx(0.9 * levels["rep"], rel=0.01)


@pytest.mark.parametrize("scenario", ["recession", "new-product", "process-change"])
def test_a_scenario_changes_the_deals_and_only_new_product_sells_beacon(
    tmp_path: Path, folder: Path, scenario: str
) -> None:
    config = SimulationConfig(years=1, reps=16, leads=1_500, deals=500, scenario=scenario)  # type: ignore[arg-type]
    simulate(config, landing=tmp_path / "landing", truth=tmp_path / "truth")
    sold = {
        name: pq.read_table(where / "landing" / "products.parquet")["name"].to_pylist()
        for name, where in (("steady", folder), ("changed", tmp_path))
    }
    assert ("Beacon" in sold["changed"]) == (scenario == "new-product")
    assert "Beacon" not in sold["steady"]
    assert digests(tmp_path)["opportunities.parquet"] != digests(folder)["opportunities.parquet"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"years": 0}, "'years' is too small. Expected: at least 1. Got: 0"),
        ({"reps": 7}, "'reps' is too small. Expected: at least 8. Got: 7"),
        ({"leads": 0}, "'leads' is too small"),
        ({"deals": 0}, "'deals' is too small"),
        ({"seed": -1}, "'seed' is too small"),
        ({"scenario": "boom"}, "There is no scenario 'boom'. Expected: steady, recession, new-product, process-change"),
        ({"start": datetime(2023, 1, 1)}, "has no time zone"),
    ],
)
def test_an_impossible_configuration_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        SimulationConfig(**change)  # type: ignore[arg-type]


def test_a_history_that_starts_on_a_leap_day_ends_on_the_28th() -> None:
    assert SimulationConfig(start=datetime(2024, 2, 29, tzinfo=UTC), years=1).end == datetime(2025, 2, 28, tzinfo=UTC)
