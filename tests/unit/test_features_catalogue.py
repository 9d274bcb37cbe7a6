"""The catalogue: names, what a source without a table loses, and that no answer is a feature."""

from __future__ import annotations

import random
from dataclasses import fields

import pytest
from features_world import connect, day, deal, lead, moments, row

from common.errors import ContractError, NotFoundError
from features.catalogue import SERVICES, VIEWS, features_of, service_of, views_of
from features.specs import FeatureSpec
from features.transform import compute
from warehouse.contracts import CONTRACTS

ALL_TABLES = tuple(CONTRACTS)
OUTCOME_COLUMNS = {column for contract in CONTRACTS.values() for column in contract.outcome_columns}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_names_each_feature_once(service: str) -> None:
    names = [feature.name for feature in features_of(service, ALL_TABLES)]
    assert len(names) == len(set(names))
    keys = {view.join_key for view in VIEWS.values()} | {"as_of", "event_timestamp"}
    assert not keys & set(names)


@pytest.mark.parametrize("feature", [f for view in VIEWS.values() for f in view.features], ids=lambda f: f.name)
def test_a_feature_is_told_in_words_with_its_window(feature: FeatureSpec) -> None:
    assert "{value}" in feature.phrase
    assert feature.phrase.format(value=3)
    assert feature.about.endswith(".")
    if feature.window is not None:
        assert feature.window[:-1] in f"{feature.name} {feature.about}"
    assert all(getattr(feature, field.name) != "" for field in fields(feature))


def test_a_view_without_its_tables_is_left_out() -> None:
    only_leads = features_of("lead_score_v1", ["leads"])
    assert {view.name for view in views_of("lead_score_v1", ["leads"])} == {
        "lead_profile",
        "lead_repeats",
        "segment_history",
        "rep_leads",
    }
    assert "count_page_view_7d" not in {feature.name for feature in only_leads}
    assert [view.name for view in views_of("deal_win_v1", ["opportunities"])] == [
        "deal_state",
        "deal_pace",
        "stage_history",
        "deal_competition",
        "account_history",
        "rep_performance",
        "rep_deals",
    ]


def test_a_service_without_its_own_table_says_what_is_missing() -> None:
    with pytest.raises(NotFoundError, match="no rows in opportunities, which deal_win_v1 needs"):
        features_of("deal_win_v1", ["leads"])


def test_an_unknown_service_is_named() -> None:
    with pytest.raises(NotFoundError, match=r"no feature service 'lead_score_v9'.*lead_score_v1"):
        service_of("lead_score_v9")


def test_no_outcome_column_is_a_feature() -> None:
    names = {feature.name for view in VIEWS.values() for feature in view.features}
    columns = {column for view in VIEWS.values() for column, _ in view.foreign_keys}
    assert OUTCOME_COLUMNS
    assert not OUTCOME_COLUMNS & (names | columns)


def test_no_feature_changes_with_the_outcome_columns() -> None:
    draw = random.Random(1)  # noqa: S311 - made-up columns
    leads = [lead(f"L{n}", n, source="web", rep_id="R1") for n in range(4)]
    leads += [lead("L0", 9, lead_created_at=day(0), status="converted", source="web")]
    deals = [deal(f"D{n}", n, rep_id="R1", lead_id="L0") for n in range(4)] + [
        deal("D0", 9, status="lost", rep_id="R1")
    ]
    told = {
        "leads": [{**each, **{c: draw.choice("xyz") for c in CONTRACTS["leads"].outcome_columns}} for each in leads],
        "opportunities": [
            {**each, **{c: draw.choice("xyz") for c in CONTRACTS["opportunities"].outcome_columns}} for each in deals
        ],
    }
    keys = {"lead_id": "L0", "opportunity_id": "D0", "rep_id": "R1", "segment_id": "web|", "series_id": "company"}
    keys |= {"account_id": "A1", "stage_id": "|qualify", "competitor_id": "Acme"}
    for view in VIEWS.values():
        spine = moments(view.join_key, *((keys[view.join_key], at) for at in (5, 10, 50)))
        with connect({"leads": leads, "opportunities": deals}) as silent, connect(told) as telling:
            order = [("event_timestamp", "ascending")]
            assert compute(view, spine, silent).sort_by(order) == compute(view, spine, telling).sort_by(order)


def test_maths_that_loses_a_row_is_refused() -> None:
    from dataclasses import replace

    view = replace(VIEWS["lead_profile"], transformation=lambda spine, _: spine.limit(0))
    with (
        connect({"leads": [lead("L1", 0)]}) as connection,
        pytest.raises(ContractError, match="another number of rows"),
    ):
        compute(view, moments("lead_id", ("L1", 1)), connection)


def test_rows_are_computed_for_things_without_any_history() -> None:
    with connect({"reps": [row(0, rep_id="R1")]}) as connection:
        for view in VIEWS.values():
            computed = compute(view, moments(view.join_key, ("nobody", 3)), connection)
            assert computed.schema == view.schema
            assert computed.num_rows == 1
