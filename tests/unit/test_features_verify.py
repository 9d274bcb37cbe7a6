"""Paths compared, values explained from their rows, moments compared, and the catalogue, on one small world."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from common.errors import NotFoundError
from common.settings import OnlineStoreSettings
from common.workspace import Workspace
from features import verifying
from features.catalogue import VIEWS
from features.catalogue_page import catalogue_html, catalogue_markdown, measure
from features.comparing import compare_entity, compare_open, stability_index
from features.definitions import served_views
from features.explaining import explain_feature, find_feature, is_same, recompute
from features.repository import FeatureRepository
from features.spines import open_deal_spine, open_lead_spine
from warehouse.ingest import ingest
from warehouse.simulator import SimulationConfig, simulate
from warehouse.sources import load_source
from warehouse.store import Warehouse

CATALOGUE = Path(__file__).parents[2] / "docs" / "features" / "catalogue.md"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> FeatureRepository:
    workspace = Workspace("simulated", tmp_path_factory.mktemp("verify_world"))
    simulate(SimulationConfig(years=1, reps=8, leads=300, deals=120), landing=workspace.landing, truth=workspace.truth)
    warehouse = Warehouse(workspace.warehouse)
    ingest(load_source("simulated"), workspace.landing, warehouse)
    return FeatureRepository(workspace, warehouse, OnlineStoreSettings(kind="sqlite"))


@pytest.fixture
def warehouse(repository: FeatureRepository) -> Warehouse:
    return repository.warehouse


@pytest.fixture
def now(warehouse: Warehouse) -> datetime:
    return warehouse.cut()


@pytest.mark.parametrize("service", ["lead_score_v1", "deal_win_v1", "revenue_forecast_v1"])
def test_every_feature_is_the_same_on_all_paths_and_the_workspace_is_left_alone(
    repository: FeatureRepository, service: str
) -> None:
    report = verifying.verify(repository, repository.warehouse, service=service, rows=80)
    assert report.differences == ()
    assert report.is_equal
    assert report.rows > 60
    assert all(check.rows == report.rows for check in report.features)
    assert not repository.workspace.features.exists()


def test_a_path_that_differs_is_named_with_every_paths_value(
    repository: FeatureRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = verifying._training

    def skewed(*given: object) -> dict[str, list[object]]:
        values = honest(*given)  # type: ignore[arg-type]
        values["count_page_view_30d"][3] += 1
        return values

    monkeypatch.setattr(verifying, "_training", skewed)
    report = verifying.verify(repository, repository.warehouse, service="lead_score_v1", rows=20)
    assert not report.is_equal
    (difference,) = report.differences
    assert difference.feature == "count_page_view_30d"
    assert difference.values["training"] == difference.values["batch"] + 1 == difference.values["online"] + 1


def test_floats_may_differ_by_a_billionth_and_missing_equals_only_missing() -> None:
    rate = next(each for each in VIEWS["rep_performance"].features if each.dtype == "float")
    assert verifying.differing(rate, {"a": [1.0, None, 2e6], "b": [1.0 + 1e-10, None, 2e6 + 1e-4]}) == []
    assert verifying.differing(rate, {"a": [1.0, None, 3.0], "b": [1.0 + 1e-8, 0.0, None]}) == [0, 1, 2]


def test_the_rows_that_explain_a_feature_give_its_value_again(warehouse: Warehouse, now: datetime) -> None:
    at = now - timedelta(days=40)
    keys = {
        "lead_id": open_lead_spine(warehouse, at)["lead_id"][0].as_py(),
        "opportunity_id": open_deal_spine(warehouse, at)["opportunity_id"][0].as_py(),
        "rep_id": open_deal_spine(warehouse, at)["rep_id"][0].as_py(),
        "segment_id": open_lead_spine(warehouse, at)["segment_id"][0].as_py(),
        "series_id": "company",
    }
    explained = 0
    for view in served_views(warehouse.tables()):
        for feature in view.features[::6] if view.join_key in keys else ():
            found = explain_feature(warehouse, feature.name, keys[view.join_key], at)
            again = recompute(view, feature, found.key, at, found.rows)
            assert is_same(feature, found.value, again), feature.name
            for rows in found.rows.values():
                assert max(rows["event_timestamp"].to_pylist()) <= at
                assert max(rows["created_timestamp"].to_pylist()) <= at
            explained += 1
    assert explained > 15


def test_a_count_of_events_is_explained_by_exactly_those_events(warehouse: Warehouse, now: datetime) -> None:
    query = """SELECT lead_id FROM lead_events WHERE kind = 'page_view' GROUP BY 1
        ORDER BY max(event_timestamp) DESC, 1 LIMIT 1"""
    with warehouse.duckdb() as connection:
        lead = connection.execute(query).fetchall()[0][0]
    found = explain_feature(warehouse, "count_page_view_30d", lead, now)
    assert found.value > 0
    (rows,) = found.rows.values()
    assert rows.num_rows == found.value
    assert set(rows["kind"].to_pylist()) == {"page_view"}


def test_an_unknown_feature_or_lead_is_said(warehouse: Warehouse, now: datetime) -> None:
    with pytest.raises(NotFoundError, match="such as count_page_view_30d"):
        find_feature(warehouse, "count_page_views_30d")
    with pytest.raises(NotFoundError, match="Nothing was known of lead_id 'nobody'"):
        explain_feature(warehouse, "lead_age_days", "nobody", now)


def test_what_changed_about_a_lead_is_told_and_nothing_else(warehouse: Warehouse, now: datetime) -> None:
    lead = open_lead_spine(warehouse, now)["lead_id"][0].as_py()
    changes = compare_entity(warehouse, "lead_score_v1", lead, before=now - timedelta(hours=1), after=now)
    assert "lead_age_days" in {each.feature.name for each in changes}
    assert compare_entity(warehouse, "lead_score_v1", lead, before=now, after=now) == []
    with pytest.raises(NotFoundError, match="Nothing is known of 'nobody'"):
        compare_entity(warehouse, "lead_score_v1", "nobody", before=now, after=now)


def test_features_of_everything_open_are_ranked_by_how_far_they_moved(warehouse: Warehouse, now: datetime) -> None:
    moved = compare_open(warehouse, "lead_score_v1", before=now - timedelta(days=60), after=now)
    assert [each.psi for each in moved] == sorted((each.psi for each in moved), reverse=True)
    still = compare_open(warehouse, "lead_score_v1", before=now, after=now)
    assert all(each.psi == each.changed_share == 0 for each in still)


def test_stability_index_is_the_textbooks() -> None:
    colour = replace(VIEWS["lead_profile"].features[0], dtype="category")
    # (0.5 - 0.8) ln(0.5 / 0.8) + (0.5 - 0.2) ln(0.5 / 0.2)
    found = stability_index(colour, ["a"] * 8 + ["b"] * 2, ["a"] * 5 + ["b"] * 5)
    assert found == pytest.approx(0.415888, abs=1e-5)


def test_catalogue_page_shows_every_feature_measured(warehouse: Warehouse, now: datetime) -> None:
    measured = measure(warehouse, now, rows=60)
    assert {each.view.name for each in measured} == {view.name for view in served_views(warehouse.tables())}
    source = next(each for each in measured if each.feature.name == "lead_source")
    assert source.null_share == 0
    assert max(source.bars) == 1
    page = catalogue_html(measured, name="<simulated>", at=now)
    assert all(f"<code>{each.feature.name}</code>" in page for each in measured)
    assert "<simulated>" not in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_catalogue_in_the_documentation_is_current() -> None:
    assert CATALOGUE.read_text(encoding="utf-8") == catalogue_markdown(), (
        'write it anew: python -c "from features.catalogue_page import catalogue_markdown as m; '
        "open('docs/features/catalogue.md', 'w').write(m())\""
    )
