"""Scoring models of one's own: what a file may say, what is told of its faults, points by a plain loop, its grades."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_toy import toy_columns, toy_entries, toy_truth

from common.errors import ContractError, InputError
from features.specs import FeatureSpec
from training.calibration import Calibration, sigmoid
from training.encoding import encode_columns
from training.manifest import FeatureEntry
from training.models import load_model
from training.scoring.conditions import Condition, read_condition
from training.scoring.own import OwnScorecard, chosen_specs, own_thresholds
from training.scoring.rule_score import default_rule_score, rule_score_probability
from training.scoring.scorecard import Part, Scorecard, fit_scorecard
from training.scoring.scoring_file import ScoringFile, check_features, read_scoring_file, scoring_json_schema

ROOT = Path(__file__).resolve().parents[2]
ROWS = 400
CARD: dict[str, Any] = {
    "name": "toy",
    "points": [
        {
            "feature": "count_pricing_view_30d",
            "rules": [{"when": ">= 3", "points": 25}, {"when": ">= 1", "points": 10}],
            "missing": 0,
        },
        {"feature": "employee_count", "weight": 0.02, "at_most": 12, "missing": 4},
        {
            "feature": "source",
            "rules": [{"when": ["referral", "never seen"], "points": 15}, {"when": "!= web", "points": 5}],
            "otherwise": -2,
            "missing": 0,
        },
    ],
}


def specs() -> list[FeatureSpec]:
    types = {"count_pricing_view_30d": "int", "employee_count": "float", "source": "category"}
    return [
        FeatureSpec(name=name, dtype=dtype, about="", unit="", group="fit", phrase="{value}")  # type: ignore[arg-type]
        for name, dtype in types.items()
    ]


def card_file(**more: Any) -> ScoringFile:
    return ScoringFile.model_validate(CARD | more)


@pytest.fixture(scope="module")
def world() -> tuple[dict[str, Any], np.ndarray, tuple[FeatureEntry, ...]]:
    columns = toy_columns(ROWS, seed=3)
    columns["source"][:5] = None
    columns["source"][5] = "never seen"
    label = (np.random.default_rng(4).random(ROWS) < toy_truth(toy_columns(ROWS, seed=3))).astype(float)
    return columns, label, tuple(toy_entries(columns, label))


def points_by_hand(views: float, people: float, source: Any) -> float:
    views_points = 25 if views >= 3 else 10 if views >= 1 else 0
    people_points = 4 if math.isnan(people) else min(0.02 * people, 12)
    if source is None:
        source_points = 0.0
    elif source in ("referral", "never seen"):
        source_points = 15.0
    else:
        source_points = 5.0 if source != "web" else -2.0
    return views_points + people_points + source_points


def fitted(world: tuple[dict[str, Any], np.ndarray, tuple[FeatureEntry, ...]]) -> tuple[Scorecard, np.ndarray]:
    columns, _, entries = world
    own = OwnScorecard(card_file())
    read = own.adapt(entries)
    matrix = encode_columns(columns, read)
    _, model, margin = own.fit(read, matrix)
    assert isinstance(model, Scorecard)
    assert margin == pytest.approx(model.margin(matrix))
    return model, matrix


def test_points_are_those_of_a_plain_loop_a_rare_category_keeps_its_own(world: Any) -> None:
    columns, _, _ = world
    card, matrix = fitted(world)
    expected = [
        points_by_hand(*row)
        for row in zip(columns["count_pricing_view_30d"], columns["employee_count"], columns["source"], strict=True)
    ]
    assert card.points(matrix) == pytest.approx(expected)


def test_contributions_add_up_to_the_margin_which_is_points_on_a_scale(world: Any) -> None:
    card, matrix = fitted(world)
    points, margin = card.points(matrix), card.margin(matrix)
    parts = card.contributions(matrix)
    assert parts.shape == (ROWS, 4)
    assert parts.sum(axis=1) == pytest.approx(margin)
    assert parts.mean(axis=0) == pytest.approx(0.0, abs=1e-9)
    assert np.corrcoef(points, margin)[0, 1] == pytest.approx(1.0)
    assert card.margin_of_points(points[0]) == pytest.approx(margin[0])
    assert (margin.mean(), margin.std()) == (pytest.approx(0.0, abs=1e-9), pytest.approx(1.0))


def test_a_saved_card_answers_as_before(world: Any, tmp_path: Path) -> None:
    card, matrix = fitted(world)
    card.save(tmp_path)
    again = load_model("scorecard", tmp_path)
    assert np.array_equal(again.margin(matrix), card.margin(matrix))
    first = (tmp_path / "scorecard.json").read_bytes()
    again.save(tmp_path)
    assert (tmp_path / "scorecard.json").read_bytes() == first


@pytest.mark.parametrize(
    ("written", "is_category", "condition"),
    [
        (">= 3", False, Condition(">=", (3.0,))),
        ("<-1.5", False, Condition("<", (-1.5,))),
        ("!= 2", False, Condition("!=", (2.0,))),
        ("50 .. 999", False, Condition("between", (50.0, 999.0))),
        ("-5..5", False, Condition("between", (-5.0, 5.0))),
        (2, False, Condition("=", (2.0,))),
        (True, False, Condition("=", (1.0,))),
        ([1, 2], False, Condition("in", (1.0, 2.0))),
        ("referral", True, Condition("=", ("referral",))),
        ("!= Straße 9", True, Condition("!=", ("Straße 9",))),
        (["a", "b"], True, Condition("in", ("a", "b"))),
    ],
)
def test_conditions_are_read_as_written(written: Any, is_category: bool, condition: Condition) -> None:
    assert read_condition(written, is_category=is_category) == condition


@pytest.mark.parametrize(
    ("written", "is_category", "reason"),
    [
        (">= many", False, "'many' is no number|' many' is no number"),
        ("9 .. 3", False, "ends before it begins"),
        ("> 3", True, "compares sizes, and a category has none"),
        ("", True, "an empty text is no condition"),
        ([], True, "an empty list meets nothing"),
        ("= inf", False, "is no finite number"),
    ],
)
def test_what_is_no_condition_says_what_would_be_one(written: Any, is_category: bool, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_condition(written, is_category=is_category)


@given(st.lists(st.floats(-50, 50) | st.just(math.nan), min_size=1, max_size=30), st.integers(-20, 20))
def test_a_missing_value_meets_no_condition(values: list[float], bound: int) -> None:
    column = np.array(values)
    for operator in (">=", "<", "!=", "="):
        found = read_condition(f"{operator} {bound}", is_category=False).holds(column)
        assert not found[np.isnan(column)].any()
    above = read_condition(f">= {bound}", is_category=False).holds(column)
    below = read_condition(f"< {bound}", is_category=False).holds(column)
    assert np.array_equal(above | below, ~np.isnan(column))


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(
        "name: Bad Name\npoints:\n"
        "  - {feature: a, rules: [{when: '> 1', points: many}]}\n"
        "  - {feature: b, weight: 2, missing: 0, weights: 3}\n"
    )
    with pytest.raises(InputError) as raised:
        read_scoring_file(path)
    message = raised.value.message
    for part in ("name: ", "points.0.rules.0.points: ", "points.0.missing: Field required", "points.1.weights: "):
        assert part in message
    assert "examples/scoring/scorecard.yaml" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"points": []}, "give either points .a scorecard. or features"),
        ({"features": ["source"]}, "give either points .a scorecard. or features"),
        ({"points": [*CARD["points"], CARD["points"][0]]}, "named twice: count_pricing_view_30d"),
        ({"grades": {"hot": 10, "warm": 20}, "grades_in": "points"}, "hot .10. has to be above warm .20."),
        ({"grades": {"hot": 10}}, "grades: expected hot and warm, got hot"),
        ({"grades": {"hot": 30, "warm": 10}}, "probabilities lie between 0 and 1"),
        ({"points": [{"feature": "source", "missing": 0}]}, "'source' needs either rules or a weight"),
    ],
)
def test_what_a_file_may_not_say(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(json.dumps(CARD | change))
    with pytest.raises(InputError, match=reason):
        read_scoring_file(path)


@pytest.mark.parametrize("content", ["{", "", "[1, 2]", "\udcff"])
def test_a_file_that_is_none_says_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "card.yaml"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"The scoring file .*card.yaml"):
        read_scoring_file(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_scoring_file(tmp_path / "nowhere.yaml")


def test_unknown_features_are_told_with_those_near_and_unsuited_conditions_too() -> None:
    wrong = card_file(
        points=[
            {"feature": "count_pricing_views_30d", "weight": 1, "missing": 0},
            {"feature": "zzz", "weight": 1, "missing": 0},
            {"feature": "source", "weight": 1, "missing": 0},
            {"feature": "employee_count", "rules": [{"when": "large", "points": 1}], "missing": 0},
        ]
    )
    with pytest.raises(InputError) as raised:
        check_features(wrong, specs())
    message = raised.value.message
    assert "there is no feature 'count_pricing_views_30d' (near: count_pricing_view_30d" in message
    assert "there is no feature 'zzz';" in message
    assert "'source' is a category and has no size for a weight" in message
    assert "'employee_count': 'large' is no number" in message


def test_a_choice_of_features_is_kept_in_the_workspaces_order() -> None:
    choice = ScoringFile(name="few", features=("source", "count_pricing_view_30d"))
    assert [spec.name for spec in chosen_specs(choice, specs())] == ["count_pricing_view_30d", "source"]
    assert len(chosen_specs(None, specs())) == 3
    assert len(chosen_specs(card_file(), specs())) == 3


def test_a_feature_without_a_value_in_the_past_is_refused(world: Any) -> None:
    with pytest.raises(InputError, match=r"reads features without any value in the past.*Got: employee_count"):
        OwnScorecard(card_file()).adapt(tuple(entry for entry in world[2] if entry.name != "employee_count"))


def test_a_card_that_gives_all_the_same_is_refused() -> None:
    part = Part(feature="a", rules=((read_condition(">= 1000", is_category=False), 5.0),), otherwise=3.0)
    with pytest.raises(ContractError, match=r"every row of the past the same points. Got: 3 points each"):
        fit_scorecard([part], np.arange(10.0)[:, None])


def test_grades_in_points_become_probabilities(world: Any) -> None:
    card, _ = fitted(world)
    rising = Calibration("platt", (1.2, -1.0))
    graded = card_file(grades={"hot": 40, "warm": 20}, grades_in="points")
    found = own_thresholds(graded, card, rising)
    assert found is not None
    assert found["cold"] == 0.0
    assert found["hot"] == pytest.approx(float(sigmoid(np.array([1.2 * card.margin_of_points(40) - 1.0]))[0]))
    assert found["cold"] < found["warm"] < found["hot"]
    assert own_thresholds(card_file(grades={"hot": 0.4, "warm": 0.2}), card, rising) == {
        "cold": 0.0, "hot": 0.4, "warm": 0.2
    }  # fmt: skip
    assert own_thresholds(card_file(), card, rising) is None
    with pytest.raises(ContractError, match="cannot be told apart by probability"):
        own_thresholds(graded, card, Calibration("platt", (-1.2, -1.0)))


def test_the_plain_rule_score_uses_what_features_there_are(world: Any) -> None:
    columns, label, entries = world
    found = default_rule_score(entries)
    assert found is not None
    assert [part.feature if part else None for part in found] == ["count_pricing_view_30d", "employee_count", None]
    matrix = encode_columns(columns, entries)
    answer = rule_score_probability(entries, matrix, label, matrix)
    assert answer is not None
    assert answer.mean() == pytest.approx(label.mean(), abs=0.01)
    views = columns["count_pricing_view_30d"]
    assert answer[views >= 3].min() > answer[views == 0].mean()
    assert rule_score_probability(entries[1:], matrix[:, 1:], label, matrix[:, 1:]) is None


def test_the_shipped_examples_are_valid_and_the_schema_is_the_kept_one() -> None:
    for path in sorted((ROOT / "examples" / "scoring").glob("*.yaml")):
        read_scoring_file(path)
    kept = json.loads((ROOT / "docs" / "scoring.schema.json").read_text())
    assert kept == json.loads(json.dumps(scoring_json_schema()))
