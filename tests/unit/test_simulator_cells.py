"""Large worlds: cut into cells, written in parts, put in place at once."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from warehouse.contracts import CONTRACTS
from warehouse.simulator import SimulationConfig, config, simulate, world

SHARED = ("campaigns", "products", "quotas", "reps", "territories")
IN_PARTS = ("accounts", "activities", "contacts", "lead_events", "leads", "opportunities", "transactions")
TRUTHS_IN_PARTS = ("customer_truth", "deal_truth", "lead_truth")
MANY = SimulationConfig(years=1, reps=16, leads=1_000, deals=330, events_per_lead=30)


@pytest.fixture(scope="module")
def small_cells() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "CELL_LEADS", 400)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_cells: None) -> Path:
    folder = tmp_path_factory.mktemp("many")
    make(MANY, folder)
    return folder


def make(configuration: SimulationConfig, folder: Path) -> dict[str, int]:
    return simulate(configuration, landing=folder / "landing", truth=folder / "truth")


@pytest.fixture
def sql(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        for table in SHARED:
            connection.execute(f"CREATE VIEW {table} AS FROM '{folder}/landing/{table}.parquet'")
        for table in IN_PARTS:
            connection.execute(f"CREATE VIEW {table} AS FROM read_parquet('{folder}/landing/{table}/part-*.parquet')")
        yield connection


def count(sql: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(sql.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0])


def digests(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.parquet"))
    return {str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize(
    ("size", "years", "expected"),
    [
        ("small", 3, (20_000, 6_000, 60, 1)),
        ("medium", 3, (200_000, 60_000, 240, 8)),
        ("large", 1, (1_000_000, 250_000, 1_000, 40)),
        ("large", 2, (2_000_000, 500_000, 1_000, 80)),
    ],
)
def test_a_size_stands_for_leads_deals_reps_and_cells(
    size: config.Size, years: int, expected: tuple[int, int, int, int]
) -> None:
    made = SimulationConfig.of_size(size, years=years)
    assert (made.leads, made.deals, made.reps, len(made.cells())) == expected


def test_small_is_the_default_world() -> None:
    assert SimulationConfig.of_size("small") == SimulationConfig()


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"There is no size 'huge'\. Expected: small, medium, large"):
        SimulationConfig.of_size("huge")  # type: ignore[arg-type]


def test_fewer_than_one_event_per_lead_are_refused() -> None:
    with pytest.raises(InputError, match=r"'events_per_lead' is too small\. Expected: at least 1\. Got: 0\.5"):
        SimulationConfig(events_per_lead=0.5)


def test_cells_share_out_all_leads_and_deals() -> None:
    cells = SimulationConfig(leads=100_003, deals=30_001).cells()
    assert [cell.number for cell in cells] == [0, 1, 2, 3, 4]
    assert sum(cell.leads for cell in cells) == 100_003
    assert sum(cell.deals for cell in cells) == 30_001
    assert max(cell.leads for cell in cells) <= config.CELL_LEADS


def test_tables_that_grow_are_written_in_parts_and_the_others_whole(folder: Path) -> None:
    parts = [f"part-{number:05d}.parquet" for number in range(3)]
    landing, truth = folder / "landing", folder / "truth"
    assert sorted(path.name for path in landing.iterdir()) == sorted([*IN_PARTS, *(f"{t}.parquet" for t in SHARED)])
    assert all(sorted(path.name for path in (landing / table).iterdir()) == parts for table in IN_PARTS)
    whole = ["rep_truth.parquet", "revenue_truth.parquet"]
    assert sorted(path.name for path in truth.iterdir()) == sorted([*TRUTHS_IN_PARTS, *whole])
    assert all(sorted(path.name for path in (truth / name).iterdir()) == parts for name in TRUTHS_IN_PARTS)


def test_a_world_of_one_cell_has_one_file_per_table(tmp_path: Path) -> None:
    make(SimulationConfig(years=1, reps=8, leads=60, deals=20), tmp_path)
    names = sorted(path.name for path in (tmp_path / "landing").iterdir())
    assert names == sorted(f"{table}.parquet" for table in (*IN_PARTS, *SHARED))


def test_many_cells_give_the_same_bytes_again(folder: Path, tmp_path: Path) -> None:
    make(MANY, tmp_path)
    assert digests(tmp_path) == digests(folder)


def test_the_cells_differ(folder: Path) -> None:
    parts = [digests(folder)[f"landing/leads/part-{number:05d}.parquet"] for number in range(3)]
    assert len(set(parts)) == 3
    emails = [
        set(pq.read_table(folder / f"landing/leads/part-{number:05d}.parquet")["email"].to_pylist()) - {None}
        for number in range(2)
    ]
    assert not emails[0] & emails[1]


@pytest.mark.parametrize("table", IN_PARTS)
def test_ids_belong_to_one_cell(sql: duckdb.DuckDBPyConnection, folder: Path, table: str) -> None:
    key = CONTRACTS[table].key
    files = f"read_parquet('{folder}/landing/{table}/part-*.parquet', filename = true)"
    assert count(sql, f"SELECT 1 FROM {files} GROUP BY {key} HAVING count(DISTINCT filename) > 1") == 0
    if CONTRACTS[table].kind == "event":
        assert count(sql, f"SELECT {key} FROM {table} GROUP BY 1 HAVING count(*) > 1") == 0


@pytest.mark.parametrize(
    ("table", "column", "target"),
    [
        ("opportunities", "account_id", "accounts"),
        ("opportunities", "rep_id", "reps"),
        ("opportunities", "lead_id", "leads"),
        ("opportunities", "product_id", "products"),
        ("activities", "opportunity_id", "opportunities"),
        ("activities", "lead_id", "leads"),
        ("activities", "rep_id", "reps"),
        ("lead_events", "lead_id", "leads"),
        ("leads", "campaign_id", "campaigns"),
        ("leads", "opportunity_id", "opportunities"),
        ("transactions", "account_id", "accounts"),
        ("contacts", "account_id", "accounts"),
    ],
)
def test_references_hold_over_the_cells(sql: duckdb.DuckDBPyConnection, table: str, column: str, target: str) -> None:
    """A row may stand for a thing that is known a little later: what is late is left out of the judgement."""
    recent = "created_timestamp < TIMESTAMPTZ '2023-12-20'"
    used = f"SELECT {column} AS id FROM {table} WHERE {column} IS NOT NULL AND {recent}"
    assert count(sql, used) > 0
    assert count(sql, f"FROM ({used}) u ANTI JOIN {target} t ON u.id = t.{CONTRACTS[target].key}") == 0


@pytest.mark.parametrize("table", IN_PARTS)
def test_parts_are_in_the_order_of_knowledge_and_end_with_the_history(folder: Path, table: str) -> None:
    for file in sorted((folder / "landing" / table).iterdir()):
        created = pq.read_table(file)["created_timestamp"].to_pylist()
        assert created == sorted(created)
        assert created[-1] <= MANY.end


def test_the_wanted_number_of_events_is_met(sql: duckdb.DuckDBPyConnection) -> None:
    events = count(sql, "SELECT 1 FROM lead_events") + count(sql, "SELECT 1 FROM activities")
    assert events / MANY.leads == pytest.approx(30, rel=0.12)


def test_rows_are_counted_over_the_cells_and_progress_counts_events(tmp_path: Path, small_cells: None) -> None:
    seen: list[tuple[str, int, int]] = []
    rows = simulate(
        MANY,
        landing=tmp_path / "landing",
        truth=tmp_path / "truth",
        progress=lambda what, done, total: seen.append((what, done, total)),
    )
    files = {table: list((tmp_path / "landing").glob(f"{table}*/part-*.parquet")) for table in IN_PARTS}
    assert all(sum(pq.read_metadata(file).num_rows for file in files[t]) == rows[t] for t in IN_PARTS)
    assert [(done, total) for _, done, total in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert seen[0][0] == "0.0 million events"


def test_parts_of_an_earlier_larger_world_do_not_survive(tmp_path: Path, small_cells: None) -> None:
    make(MANY, tmp_path)
    smaller = SimulationConfig(years=1, reps=8, leads=60, deals=20)
    make(smaller, tmp_path)
    other = tmp_path / "fresh"
    make(smaller, other)
    assert digests(tmp_path / "landing") == digests(other / "landing")
    assert digests(tmp_path / "truth") == digests(other / "truth")


def test_an_interrupted_run_leaves_the_old_world_and_the_next_one_starts_over(
    tmp_path: Path, small_cells: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller = SimulationConfig(years=1, reps=8, leads=60, deals=20)
    make(smaller, tmp_path)
    before = digests(tmp_path)
    write, written = world.write_table, []

    def interrupted(table: str, *args: object, **options: object) -> int:
        written.append(table)
        if len(written) == 10:
            raise KeyboardInterrupt
        return write(table, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(world, "write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(MANY, tmp_path)
    assert digests(tmp_path) == before
    monkeypatch.undo()
    assert make(smaller, tmp_path)["leads"] > 0
    assert digests(tmp_path) == before


def test_what_a_killed_run_left_beside_is_cleared_away(tmp_path: Path) -> None:
    """SIGKILL runs no clean-up, so the half-made folders of that run are still there."""
    for name in (".landing.new", ".truth.new", ".landing.old"):
        (tmp_path / name / "leads").mkdir(parents=True)
        (tmp_path / name / "leads" / "part-00007.parquet").write_bytes(b"half")
    make(SimulationConfig(years=1, reps=8, leads=60, deals=20), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["landing", "truth"]
    assert (tmp_path / "landing" / "leads.parquet").is_file()


@pytest.mark.parametrize("foreign", ["letter.txt", "orders.parquet", "leads/notes.md", "own/part-00000.parquet"])
def test_a_folder_with_other_peoples_files_is_refused_and_untouched(tmp_path: Path, foreign: str) -> None:
    file = tmp_path / "landing" / foreign
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(InputError, match="holds what the simulator did not write"):
        make(SimulationConfig(years=1, reps=8, leads=60, deals=20), tmp_path)
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["landing"]


@pytest.mark.parametrize("truth", ["landing", "landing/truth"])
def test_folders_within_each_other_are_refused(tmp_path: Path, truth: str) -> None:
    with pytest.raises(InputError, match="lies in it"):
        simulate(MANY, landing=tmp_path / "landing", truth=tmp_path / truth)
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "landing").write_text("mine")
    with pytest.raises(InputError, match="is not a folder"):
        make(MANY, tmp_path)
    assert (tmp_path / "landing").read_text() == "mine"
