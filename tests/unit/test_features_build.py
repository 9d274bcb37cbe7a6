"""Building views in chunks, and again when the history grew: always what computing everything at once gives."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from features_random_world import LAST_DAY, fill, moments_of, rows_of

import features.building
import features.view_files
import warehouse.delta_tables
from common.errors import ContractError
from features.building import ViewBuild, build_connection, build_view, build_views
from features.catalogue import VIEWS
from features.specs import ViewSpec
from features.transform import compute, tables_read
from features.view_files import ViewFiles
from warehouse.forgetting import forget
from warehouse.store import Warehouse

LEAD_VIEW = VIEWS["lead_engagement"]
GROUP_VIEW = VIEWS["segment_history"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Rows in every table; only read."""
    return fill(Warehouse(tmp_path_factory.mktemp("world") / "warehouse"))


@pytest.fixture
def grown(world: Warehouse, tmp_path: Path) -> Warehouse:
    """A copy of the world, to append to."""
    shutil.copytree(world.root, tmp_path / "warehouse")
    return Warehouse(tmp_path / "warehouse")


def _stored(files: ViewFiles) -> pa.Table:
    import pyarrow.parquet as pq

    rows = pa.concat_tables([pq.read_table(path, partitioning=None).cast(files.view.schema) for path in files.paths()])
    return rows.combine_chunks().sort_by([(files.view.join_key, "ascending"), ("event_timestamp", "ascending")])


def _at_once(view: ViewSpec, warehouse: Warehouse, moments: pa.Table) -> pa.Table:
    asked = moments.filter(moments[view.join_key].is_valid()).group_by([view.join_key, "as_of"]).aggregate([])
    with warehouse.duckdb() as connection:
        rows = compute(view, asked, connection).combine_chunks()
    return rows.sort_by([(view.join_key, "ascending"), ("event_timestamp", "ascending")])


def _build(
    view: ViewSpec, warehouse: Warehouse, folder: Path, moments: pa.Table, *, chunk_rows: int | None = None
) -> tuple[ViewFiles, ViewBuild]:
    files = ViewFiles(folder / view.name, view)
    files.prepare(warehouse)
    with build_connection(warehouse, folder / "scratch") as connection:
        build = build_view(files, moments, connection, scratch=folder / "scratch", chunk_rows=chunk_rows)
    return files, build


@pytest.mark.parametrize("name", VIEWS)
def test_chunks_give_what_computing_at_once_gives(name: str, world: Warehouse, tmp_path: Path) -> None:
    view = VIEWS[name]
    moments = moments_of(view, 60)
    files, build = _build(view, world, tmp_path, moments, chunk_rows=20)
    expected = _at_once(view, world, moments)
    assert _stored(files) == expected
    assert build == ViewBuild(kept=0, computed=expected.num_rows)
    assert not (tmp_path / "scratch").exists()


def test_one_chunk_reads_the_rows_of_the_entities_asked_alone(world: Warehouse, tmp_path: Path) -> None:
    moments = moments_of(LEAD_VIEW, 5)
    files, _ = _build(LEAD_VIEW, world, tmp_path, moments)
    assert _stored(files) == _at_once(LEAD_VIEW, world, moments)


def test_a_spine_without_rows_builds_nothing(world: Warehouse, tmp_path: Path) -> None:
    files, build = _build(LEAD_VIEW, world, tmp_path, moments_of(LEAD_VIEW, 0).slice(0, 0))
    assert build == ViewBuild(kept=0, computed=0)
    assert _stored(files).num_rows == 0


def test_rows_of_an_earlier_build_are_kept_and_progress_counts_rows(world: Warehouse, tmp_path: Path) -> None:
    moments = moments_of(LEAD_VIEW, 60)
    _, first = _build(LEAD_VIEW, world, tmp_path, moments.slice(0, 20))
    told: list[tuple[str, int, int]] = []
    built = build_views(
        world,
        [(ViewFiles(tmp_path / LEAD_VIEW.name, LEAD_VIEW), moments)],
        scratch=tmp_path / "scratch",
        progress=lambda *each: told.append(each),
    )
    assert built[LEAD_VIEW.name].kept == first.computed
    rest = built[LEAD_VIEW.name].computed
    assert rest == _at_once(LEAD_VIEW, world, moments).num_rows - first.computed
    assert told == [(LEAD_VIEW.name, 0, rest), (LEAD_VIEW.name, rest, rest), ("features", rest, rest)]


def _append(table: str, **options: Any) -> Callable[[Warehouse], None]:
    return lambda warehouse: warehouse.append(table, rows_of(table, 12, **options), origin="more") and None


def _correct(warehouse: Warehouse) -> None:
    """The first events again, with another length, told on day 120."""
    from features_world import day

    events = rows_of("lead_events", 40, seed=1).slice(0, 10)
    place = events.column_names.index("duration_seconds")
    events = events.set_column(place, "duration_seconds", pa.array([77.0] * 10))
    place = events.column_names.index("created_timestamp")
    times = pa.array([day(120)] * 10, events.schema.field("created_timestamp").type)
    warehouse.append("lead_events", events.set_column(place, "created_timestamp", times), origin="correction")


def _nothing(warehouse: Warehouse) -> None:
    """Known rows, which the warehouse does not take."""
    warehouse.append("lead_events", rows_of("lead_events", 40, seed=1), origin="again")


def _other_table(warehouse: Warehouse) -> None:
    warehouse.append("transactions", rows_of("transactions", 5, seed=9), origin="more")


def _compact(warehouse: Warehouse) -> None:
    """Small commits from day 150 on, which the last of them writes together."""
    for number in range(4):
        rows = rows_of("lead_events", 1, seed=100 + number, first_day=150, last_day=160)
        warehouse.append("lead_events", rows, origin="small")
    folder = warehouse.root / "lead_events" / "_delta_log"
    assert any('"dataChange":false' in entry.read_text() for entry in folder.glob("*.json"))


GROWN: Mapping[str, tuple[Callable[[Warehouse], None], str]] = {
    "nothing came": (_nothing, "all"),
    "a table came that the view does not read": (_other_table, "all"),
    "newer rows came": (_append("lead_events", seed=2, first_day=150), "some"),
    "rows of the past came, recorded late": (_append("lead_events", seed=3), "some"),
    "rows were corrected": (_correct, "some"),
    "small files were written together": (_compact, "some"),
}


@pytest.mark.parametrize("case", GROWN)
def test_a_build_after_the_history_grew_equals_one_from_nothing(
    case: str, grown: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warehouse.delta_tables, "_MANY_SMALL_FILES", 4)
    grow, kept = GROWN[case]
    moments = moments_of(LEAD_VIEW, 80)
    _, before = _build(LEAD_VIEW, grown, tmp_path, moments)
    grow(grown)
    files, after = _build(LEAD_VIEW, grown, tmp_path, moments)
    assert _stored(files) == _at_once(LEAD_VIEW, grown, moments)
    assert after.kept + after.computed == before.computed
    assert (after.kept == before.computed, after.kept > 0) == (kept == "all", True)
    assert _build(LEAD_VIEW, grown, tmp_path, moments)[1] == ViewBuild(kept=before.computed, computed=0)


def test_a_forgotten_persons_rows_are_computed_anew(tmp_path: Path) -> None:
    history = Warehouse(tmp_path / "warehouse")
    view = VIEWS["lead_profile"]
    people = rows_of("leads", 10, seed=1)
    place = people.column_names.index("email")
    people = people.set_column(place, "email", pa.array(["jo@example.org", *["x@example.org"] * 9], pa.string()))
    history.append("leads", people, origin="people")
    moments = moments_of(view, 30)
    _build(view, history, tmp_path, moments)
    forget(history, "jo@example.org")
    files, build = _build(view, history, tmp_path, moments)
    assert build.kept == 0
    assert _stored(files) == _at_once(view, history, moments)


def test_a_view_of_groups_keeps_what_the_new_rows_cannot_have_changed(grown: Warehouse, tmp_path: Path) -> None:
    moments = moments_of(GROUP_VIEW, 60)
    _build(GROUP_VIEW, grown, tmp_path, moments)
    grown.append("leads", rows_of("leads", 12, seed=2, first_day=LAST_DAY / 2), origin="more")
    files, build = _build(GROUP_VIEW, grown, tmp_path, moments)
    assert build.kept > 0
    assert build.computed > 0
    assert _stored(files) == _at_once(GROUP_VIEW, grown, moments)


def test_a_table_that_held_nothing_changes_rows_from_its_first_row_on(grown: Warehouse, tmp_path: Path) -> None:
    shutil.rmtree(grown.root / "lead_events")
    moments = moments_of(LEAD_VIEW, 60)
    _build(LEAD_VIEW, grown, tmp_path, moments)
    grown.append("lead_events", rows_of("lead_events", 12, seed=2, first_day=100), origin="more")
    files, build = _build(LEAD_VIEW, grown, tmp_path, moments)
    assert build.kept > 0
    assert _stored(files) == _at_once(LEAD_VIEW, grown, moments)


def test_the_same_rows_in_another_warehouse_change_nothing(world: Warehouse, tmp_path: Path) -> None:
    moments = moments_of(LEAD_VIEW, 20)
    _, first = _build(LEAD_VIEW, world, tmp_path, moments)
    again = Warehouse(tmp_path / "again")
    again.append("lead_events", rows_of("lead_events", 40, seed=1), origin="again")
    assert _build(LEAD_VIEW, again, tmp_path, moments)[1] == ViewBuild(kept=first.computed, computed=0)


def test_other_rows_in_another_warehouse_change_everything(world: Warehouse, tmp_path: Path) -> None:
    moments = moments_of(LEAD_VIEW, 20)
    _build(LEAD_VIEW, world, tmp_path, moments)
    other = Warehouse(tmp_path / "other")
    other.append("lead_events", rows_of("lead_events", 40, seed=5), origin="test")
    assert _build(LEAD_VIEW, other, tmp_path, moments)[1].kept == 0


def test_changed_maths_computes_everything_anew(
    world: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = moments_of(LEAD_VIEW, 20)
    _, first = _build(LEAD_VIEW, world, tmp_path, moments)
    monkeypatch.setattr(features.view_files, "maths_digest", lambda view: f"other maths of {view.name}")
    assert _build(LEAD_VIEW, world, tmp_path, moments)[1] == ViewBuild(kept=0, computed=first.computed)


def test_a_build_that_died_between_chunks_goes_on_from_there(
    world: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = moments_of(LEAD_VIEW, 80)
    whole = features.building._compute_chunk
    done: list[int] = []

    def dies(files: ViewFiles, connection: Any) -> int:
        if len(done) == 2:
            (files.folder / "part-x.parquet.unfinished").write_bytes(b"half a file")
            raise KeyboardInterrupt
        done.append(whole(files, connection))
        return done[-1]

    with monkeypatch.context() as patch:
        patch.setattr(features.building, "_compute_chunk", dies)
        with pytest.raises(KeyboardInterrupt):
            _build(LEAD_VIEW, world, tmp_path, moments, chunk_rows=20)
    files, build = _build(LEAD_VIEW, world, tmp_path, moments, chunk_rows=20)
    assert build.kept == sum(done) > 0
    assert _stored(files) == _at_once(LEAD_VIEW, world, moments)
    assert not list(files.folder.glob("*.unfinished"))


def test_maths_that_loses_rows_is_refused(world: Warehouse, tmp_path: Path) -> None:
    def loses(spine: Any, tables: Any) -> Any:
        rows = LEAD_VIEW.transformation(spine, tables)
        return rows.filter(rows.lead_id != "lead-1")

    with pytest.raises(ContractError, match="lead_engagement gave another number of rows"):
        _build(replace(LEAD_VIEW, transformation=loses), world, tmp_path, moments_of(LEAD_VIEW, 60))


def test_maths_that_gives_another_type_is_refused(world: Warehouse, tmp_path: Path) -> None:
    def confuses(spine: Any, tables: Any) -> Any:
        rows = LEAD_VIEW.transformation(spine, tables)
        return rows.mutate(count_page_view_7d=rows.count_page_view_7d.cast("float64") / 2)

    with pytest.raises(ContractError, match="computes count_page_view_7d in another type") as caught:
        _build(replace(LEAD_VIEW, transformation=confuses), world, tmp_path, moments_of(LEAD_VIEW, 9))
    assert caught.value.got == "DOUBLE"


@pytest.mark.parametrize("name", [name for name, view in VIEWS.items() if view.own_rows_only])
def test_a_view_of_own_rows_reads_only_tables_that_carry_its_key(name: str) -> None:
    from warehouse.contracts import CONTRACTS

    for table in tables_read(VIEWS[name]):
        assert VIEWS[name].join_key in CONTRACTS[table].arrow_schema.names
