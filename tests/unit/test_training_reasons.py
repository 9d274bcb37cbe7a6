"""Reasons: themes, words, like rows, who speaks; trends and a workspace's own grades."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_toy import toy_columns, train_toy

from common.errors import InputError
from common.workspace import Workspace
from features.transformations.lead_engagement import FEATURES as LEAD_FEATURES
from training.agreement import measure_agreement
from training.attribution import Columns
from training.explanation import Explainer
from training.grades import GRADES_FILE, own_grades
from training.like_rows import LikeRows, like_rows, rate_bins
from training.manifest import FeatureEntry, RateBin
from training.scorer import Scorer
from training.themes import theme_of
from training.trend import WeekAgo, WeekAgoFile, trends
from training.wording import phrase_of, write_value
from training.workspace_scorer import scorer_of

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
NAN = float("nan")


def entry(name: str = "count_pricing_view_30d", dtype: str = "int", **fields: object) -> FeatureEntry:
    known = {
        "group": "intent",
        "about": "Views.",
        "unit": "events",
        "phrase": "{value} views of pricing pages in 30 days",
    }
    return FeatureEntry(name=name, dtype=dtype, **{**known, **fields})  # type: ignore[arg-type]


def test_features_that_say_the_same_are_one_theme() -> None:
    pricing = {theme_of(feature.name) for feature in LEAD_FEATURES if "pricing" in feature.name}
    assert pricing == {"interest in prices"}
    assert theme_of("count_unknown_kind_7d") == "count unknown kind 7d"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "no views of pricing pages in 30 days"),
        (1, "1 view of pricing pages in 30 days"),
        (4, "4 views of pricing pages in 30 days"),
        (2_500, "2,500 views of pricing pages in 30 days"),
    ],
)
def test_counts_read_as_sentences(value: float, text: str) -> None:
    assert phrase_of(entry(), value) == text


@pytest.mark.parametrize(
    ("fields", "value", "text"),
    [
        (
            {"unit": "days", "dtype": "float", "phrase": "was last active {value} days ago"},
            0.21,
            "was last active 5 hours ago",
        ),
        (
            {"unit": "days", "dtype": "float", "phrase": "was last active {value} days ago"},
            1.0,
            "was last active 1 day ago",
        ),
        (
            {"unit": "days", "dtype": "float", "phrase": "the rep has been here for {value} days"},
            2628.0,
            "the rep has been here for 7.2 years",
        ),
        ({"unit": "days", "phrase": "is expected to close in {value} days"}, -12, "was expected to close 12 days ago"),
        (
            {"unit": "share", "dtype": "float", "phrase": "is offered {value} below the list price"},
            -0.4,
            "is offered 40 % above the list price",
        ),
        (
            {"phrase": "{value} more events in the last week than in the week before"},
            -3,
            "3 fewer events in the last week than in the week before",
        ),
        ({"phrase": "changed stage {value} times"}, 1, "changed stage once"),
        ({"dtype": "bool", "phrase": "is a customer already: {value}"}, 0, "is not a customer already"),
        ({"dtype": "bool", "phrase": "is a customer already: {value}"}, 1, "is a customer already"),
        (
            {"unit": "day, Monday is 0", "phrase": "first contact was on weekday {value} (Monday is 0)"},
            6,
            "first contact was on a Sunday",
        ),
        ({"unit": "month, 1 to 12", "phrase": "first contact was in month {value}"}, 4, "first contact was in April"),
        (
            {"name": "custom_do_not_call", "unit": "as in the source", "dtype": "bool", "phrase": "x"},
            1,
            "do not call: yes",
        ),
    ],
)
def test_values_meet_their_phrase(fields: dict[str, str], value: float, text: str) -> None:
    assert phrase_of(entry(**fields), value) == text


def test_categories_are_named_as_people_write_them() -> None:
    country = entry(
        "country", "category", unit="category", phrase="is in {value}", categories=("jp", None), other_code=1
    )
    assert phrase_of(country, 0) == "is in JP"
    assert phrase_of(country, 1) == "country: rare or new"
    both = replace(country, categories=("br", "BR", None))
    assert (write_value(both, 0), write_value(both, 1)) == ("br", "BR")
    rank = entry(
        "title_seniority", "category", phrase="holds a position of rank {value}", categories=("executive", "other")
    )
    assert [phrase_of(rank, code) for code in (0, 1)] == ["is an executive", "holds no leading position"]


def test_missing_says_never_or_not_known() -> None:
    never = entry(
        "d",
        "float",
        about="Days since the newest view; null where there was none.",
        phrase="the last view was {value} days ago",
    )
    assert phrase_of(never, NAN) == "no view so far"
    assert (
        phrase_of(entry("industry", "category", about="Industry of the company."), NAN)
        == "Industry of the company: not known"
    )


@given(st.floats(-1e9, 1e9) | st.just(NAN))
def test_every_value_of_every_lead_feature_is_written(value: float) -> None:
    for spec in LEAD_FEATURES:
        fields = {"about": spec.about, "unit": spec.unit, "phrase": spec.phrase, "group": spec.group}
        text = phrase_of(
            entry(spec.name, spec.dtype, **fields), value if spec.dtype == "float" else float(np.round(value))
        )
        assert text
        assert "{value}" not in text
        assert "nan" not in text


def test_rates_of_like_rows_are_those_of_a_plain_loop() -> None:
    generator = np.random.default_rng(4)
    codes = generator.poisson(1.5, 500).astype(float)
    codes[generator.random(500) < 0.1] = NAN
    label = (generator.random(500) < 0.3).astype(float)
    bins, missing = rate_bins(codes, label, is_category=False)
    base = label.mean()
    for each in bins:
        assert each.low is not None
        assert each.high is not None
        chosen = [outcome for code, outcome in zip(codes, label, strict=True) if each.low <= code <= each.high]
        assert each.rows == len(chosen)
        assert each.rate == pytest.approx((sum(chosen) + 20 * base) / (len(chosen) + 20))
    assert missing is not None
    assert sum(each.rows for each in bins) + missing.rows == 500


def test_like_rows_are_found_for_known_missing_alien_and_far_values() -> None:
    bins = (RateBin(low=0.0, high=0.0, rate=0.1, rows=5), RateBin(low=1.0, high=3.0, rate=0.4, rows=5))
    number = entry(bins=bins, missing=RateBin(low=None, high=None, rate=0.2, rows=1))
    assert [like_rows(number, value) for value in (0.0, 2.0, 99.0, -5.0, NAN)] == [
        bins[0], bins[1], bins[1], bins[0], number.missing,
    ]  # fmt: skip
    category = replace(number, dtype="category", bins=(bins[0], replace(bins[1], high=2.0)))
    assert [like_rows(category, value) for value in (0.0, 1.0, 2.0, 7.0)] == [bins[0], None, category.bins[1], None]


def test_many_rows_find_the_same_like_rows_as_one() -> None:
    generator = np.random.default_rng(1)
    matrix = generator.choice([NAN, 0.0, 1.0, 2.0, 5.0, -1.0], size=(100, 3))
    label = (generator.random(100) < 0.5).astype(float)
    kinds = ("int", "category", "int")
    entries = [
        entry(f"f{i}", kind, bins=rate_bins(matrix[:50, i], label[:50], is_category=kind == "category")[0])
        for i, kind in enumerate(kinds)
    ]
    entries[2] = replace(entries[2], bins=())
    like = LikeRows(entries)
    alone = np.vstack([like.places(matrix[i : i + 1]) for i in range(100)])
    assert (like.places(matrix) == alone).all()


def explainer(*entries: FeatureEntry, base_rate: float = 0.1, task: str = "lead") -> Explainer:
    return Explainer(entries, base_rate=base_rate, task=task)


def test_a_rate_that_points_the_other_way_is_not_shown() -> None:
    against = entry(bins=(RateBin(low=0, high=9, rate=0.02, rows=50, push=0.3),))
    [[reason]] = explainer(against).explain(np.array([[2.0]]), np.array([[0.5]]), top=3)
    assert reason.text == "2 views of pricing pages in 30 days"
    assert reason.to_dict()["rate"] is None


def test_a_rate_that_tells_is_shown_beside_that_of_all() -> None:
    telling = entry(bins=(RateBin(low=0, high=9, rate=0.31, rows=50, push=0.3),))
    [[lead]] = explainer(telling).explain(np.array([[2.0]]), np.array([[0.5]]), top=3)
    assert lead.text.endswith("(leads like that convert at 31 %, all at 10 %)")
    [[deal]] = explainer(telling, task="deal").explain(np.array([[2.0]]), np.array([[0.5]]), top=3)
    assert deal.text.endswith("(31 % of deals like that are won, 10 % of all)")


def test_a_theme_is_one_reason_told_by_the_feature_that_pushes_furthest_that_way() -> None:
    week = entry("count_pricing_view_7d", bins=(RateBin(low=0, high=9, rate=0.1, rows=9, push=0.1),))
    month = entry("count_pricing_view_30d", bins=(RateBin(low=0, high=9, rate=0.1, rows=9, push=0.4),))
    spoken = explainer(week, month)
    [[reason]] = spoken.explain(np.array([[1.0, 2.0]]), np.array([[0.6]]), top=3)
    assert (reason.theme, reason.feature, reason.contribution) == ("interest in prices", month.name, 0.6)
    [[other]] = spoken.explain(np.array([[1.0, 2.0]]), np.array([[-0.6]]), top=3)
    assert other.feature == week.name


@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6), st.integers(1, 4))
def test_reasons_are_the_strongest_of_each_side(strengths: list[float], top: int) -> None:
    entries = [entry(f"thing_{i}") for i in range(6)]
    reasons = explainer(*entries).explain(np.zeros((1, 6)), np.array([strengths]), top=top)[0]
    for sign in (1, -1):
        expected = sorted((s for s in strengths if s * sign >= 0.01), key=abs, reverse=True)[:top]
        assert [r.contribution for r in reasons if r.contribution * sign > 0] == expected
    assert [abs(r.contribution) for r in reasons] == sorted((abs(r.contribution) for r in reasons), reverse=True)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return train_toy(tmp_path_factory.mktemp("bundle"))


def test_fast_reasons_are_the_exact_ones(scorer: Scorer) -> None:
    matrix = scorer.encode(toy_columns(300, seed=3))
    fast, exact = scorer.reasons(matrix), scorer.reasons(matrix, exact=True)
    for ours, theirs in zip(fast, exact, strict=True):
        assert [reason.text for reason in ours] == [reason.text for reason in theirs]
        assert [r.contribution for r in ours] == pytest.approx([r.contribution for r in theirs], abs=1e-5)
    assert scorer.manifest.explanation["top_theme"] == 1.0
    assert scorer.manifest.explanation["greatest_error"] < 1e-5


def test_one_row_gets_the_reasons_it_gets_in_a_batch(scorer: Scorer) -> None:
    matrix = scorer.encode(toy_columns(60, seed=12))
    together = scorer.reasons(matrix, top=2)
    alone = [scorer.reasons(matrix[i : i + 1], top=2)[0] for i in range(60)]
    assert [[reason.said for reason in each] for each in alone] == [[r.said for r in each] for each in together]


def test_a_bundle_without_tables_answers_the_same_from_the_library(tmp_path: Path) -> None:
    whole = train_toy(tmp_path)
    matrix = whole.encode(toy_columns(20, seed=3))
    expected = whole.attribution(matrix)
    (tmp_path / "reasons.npz").unlink()
    assert Scorer.load(tmp_path).attribution(matrix) == pytest.approx(expected, abs=1e-5)


def test_agreement_counts_what_differs() -> None:
    layout = Columns.of([entry("thing_a"), entry("thing_b")])
    exact = np.array([[1.0, 0.2], [0.3, -0.4]])
    fast = np.array([[1.0, 0.2], [0.5, -0.4]])
    found = measure_agreement(fast, exact, speakers=np.array([0, 1]), layout=layout)
    assert (found["top_theme"], found["top_feature"], found["sign_of_top_three"]) == (0.5, 1.0, 1.0)
    assert found["greatest_error"] == pytest.approx(0.2)


def test_trends_compare_with_the_same_models_week_ago(scorer: Scorer) -> None:
    columns = toy_columns(3, seed=1)
    composite = [record["composite_score"] for record in scorer.record(columns, ids=["a", "b", "c"], at=NOW)]
    version = scorer.manifest.version
    before = WeekAgo({"a": composite[0] - 6, "b": composite[1] + 1}, NOW, version)
    scorer.week_ago = lambda: before
    records = scorer.record(columns, ids=["a", "b", "c"], at=NOW)
    assert [r["trend"] for r in records] == ["improving", "steady", "not enough info"]
    assert [r["trend_points"] for r in records] == [pytest.approx(6), pytest.approx(-1), None]
    assert [r["trend_since"] for r in records] == [NOW, NOW, None]
    scorer.week_ago = lambda: replace(before, model_version="another")
    assert {r["trend"] for r in scorer.record(columns, ids=["a", "b", "c"], at=NOW)} == {"not enough info"}


def test_a_fall_is_declining() -> None:
    assert trends([10.0], ["a"], WeekAgo({"a": 15.0}, NOW, "1"))["trend"] == ["declining"]


@pytest.mark.parametrize(("task", "score"), [("lead", 40.0), ("deal", 0.4)])
def test_the_newest_batch_tells_what_a_week_ago_was(tmp_path: Path, task: str, score: float) -> None:
    key, name = ("lead_id", "composite_score") if task == "lead" else ("opportunity_id", "win_probability")
    file = tmp_path / "scores.parquet"
    told = WeekAgoFile(file, task)
    assert told() is None
    rows = {key: ["x", "y"], name: [score, score], "trend_points": [5.0, None], "trend_since": [NOW, None]}
    pq.write_table(pa.table({**rows, "model_version": ["3", "3"]}), file)
    assert told() == WeekAgo({"x": 35.0}, NOW, "3")
    pq.write_table(pa.table({key: ["x"], name: [score]}), file)
    assert told() is None
    file.write_bytes(b"no parquet")
    assert told() is None


def test_a_workspaces_own_grades_hold_and_are_named_in_the_score(tmp_path: Path) -> None:
    workspace = Workspace(name="mine", home=tmp_path)
    bundle = tmp_path / "bundle"
    train_toy(bundle)
    usual = scorer_of(workspace, "lead", bundle)
    assert usual.thresholds == dict(usual.manifest.thresholds)
    workspace.root.mkdir()
    (workspace.root / GRADES_FILE).write_text("lead: {warm: 0.001, hot: 0.002}\n")
    own = scorer_of(workspace, "lead", bundle)
    record = own.record(toy_columns(1, seed=1), ids=["a"], at=NOW)[0]
    assert record["grade"] == "hot"
    assert record["grade_thresholds"] == {"cold": 0.0, "warm": 0.001, "hot": 0.002}
    assert own_grades(workspace, "deal") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lead: {warm: 0.4, hot: 0.2}", r"0 < warm < hot < 1 does not hold for 0\.4 and 0\.2"),
        ("lead: {warm: 0.4}", "lead needs warm and hot, got warm"),
        ("lead: {warm: yes, hot: 0.5}", "warm is no number"),
        ("lead: {warm: x, hot: 0.5}", "warm is no number"),
        ("leads: {warm: 0.1, hot: 0.5}", "there is no task 'leads'"),
        ("lead: 3", "lead needs warm and hot, got 3"),
        ("- 3", "does not say grades by task"),
        ("lead: {", "is no YAML"),
    ],
)
def test_grades_that_cannot_be_used_are_named(tmp_path: Path, text: str, message: str) -> None:
    workspace = Workspace(name="mine", home=tmp_path)
    workspace.root.mkdir()
    (workspace.root / GRADES_FILE).write_text(text)
    with pytest.raises(InputError, match=message):
        own_grades(workspace, "lead")


def test_never_having_happened_is_known_and_does_not_lower_the_confidence(scorer: Scorer) -> None:
    assert math.isclose(scorer.confidence(np.array([[NAN] * 3]), np.array([0.3]))[0], 0.0)
    about = "Days since the newest view; null where there was none."
    features = tuple(replace(each, about=about) for each in scorer.manifest.features)
    speaking = Scorer(replace(scorer.manifest, features=features), scorer._model, scorer._attribution)
    assert speaking.confidence(np.array([[NAN] * 3]), np.array([0.3]))[0] > 0.5
