"""Scorer: what a bundle answers, beside the libraries themselves and beside what the business knows."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_toy import toy_columns, toy_truth, train_toy

from common.errors import ContractError, NotFoundError
from training.manifest import Manifest
from training.scorer import LEAD_GROUPS, Scorer, _percentile

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module", params=["lightgbm", "xgboost"])
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return train_toy(tmp_path_factory.mktemp("bundle"), library=request.param)


def test_probability_equals_the_librarys_own_predict(scorer: Scorer, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    again = train_toy(folder, library=scorer.manifest.library)  # type: ignore[arg-type]
    matrix = again.encode(toy_columns(50, seed=9))
    if again.manifest.library == "lightgbm":
        import lightgbm

        theirs = lightgbm.Booster(model_file=str(folder / "model.txt")).predict(matrix)
    else:
        import xgboost

        booster = xgboost.Booster(model_file=str(folder / "model.ubj"))
        theirs = booster.predict(xgboost.DMatrix(matrix))
    assert again.probability(matrix) == pytest.approx(np.asarray(theirs), abs=1e-6)


def test_probabilities_come_near_the_truth(scorer: Scorer) -> None:
    columns = toy_columns(2_000, seed=77)
    error = np.abs(scorer.probability(scorer.encode(columns)) - toy_truth(columns))
    assert error.mean() < 0.05


def test_one_row_alone_scores_as_within_a_batch(scorer: Scorer) -> None:
    matrix = scorer.encode(toy_columns(700, seed=5))
    batch = scorer.probability(matrix)
    assert batch[:20] == pytest.approx([scorer.probability(matrix[i : i + 1])[0] for i in range(20)])


def test_more_pricing_views_never_lower_the_probability(scorer: Scorer) -> None:
    columns = {"count_pricing_view_30d": list(range(8)), "employee_count": [100.0] * 8, "source": ["web"] * 8}
    probability = scorer.probability(scorer.encode(columns))
    assert (np.diff(probability) >= 0).all()
    assert probability[-1] > 2 * probability[0]


def test_an_unseen_category_and_missing_values_are_answered(scorer: Scorer) -> None:
    columns = {
        "count_pricing_view_30d": [1.0, None],
        "employee_count": [None, float("nan")],
        "source": ["carrier pigeon", None],
    }
    records = scorer.record(columns, ids=["a", "b"], at=NOW)
    assert all(0 < record["conversion_probability"] < 1 for record in records)
    assert records[1]["confidence"] == 0.0


def test_contributions_add_up_to_the_log_odds(scorer: Scorer) -> None:
    matrix = scorer.encode(toy_columns(100, seed=4))
    rest = np.log(scorer.probability(matrix) / (1 - scorer.probability(matrix))) - scorer.contributions(matrix).sum(1)
    assert rest == pytest.approx(np.full(100, rest[0]), abs=1e-4)


def test_a_lead_record_holds_what_the_documents_ask_for(scorer: Scorer) -> None:
    columns = toy_columns(200, seed=8)
    ids = [f"lead_{i}" for i in range(200)]
    records = scorer.record(columns, ids=ids, at=NOW.astimezone(timezone(timedelta(hours=-5))))
    for record, identifier in zip(records, ids, strict=True):
        assert record["lead_id"] == identifier
        scores = [record["composite_score"], *(record[f"{group}_score"] for group in ("demographic", "intent", "fit"))]
        assert all(0 <= score <= 100 for score in scores)
        assert record["behavioral_score"] is None  # the toy model reads no behaviour
        assert record["grade"] in ("hot", "warm", "cold")
        assert 0 <= record["confidence"] <= 1
        assert record["scored_at"] == NOW
        assert record["valid_until"] == NOW + timedelta(hours=24)
        assert set(record["scoring_factors"]) == {"for", "against"}
        assert record["model_version"] == "unregistered"
    order = np.argsort([record["conversion_probability"] for record in records])
    composite = np.array([record["composite_score"] for record in records])[order]
    assert (np.diff(composite) >= 0).all()
    assert composite[-1] > 90 > 10 > composite[0]
    assert json.dumps(records, default=str)


def test_grades_follow_the_thresholds(scorer: Scorer) -> None:
    least = scorer.manifest.thresholds
    assert scorer.grade(0.0) == "cold"
    assert scorer.grade(least["warm"]) == "warm"
    assert scorer.grade(least["hot"]) == "hot"
    odds = least["hot"] / (1 - least["hot"])
    base_odds = scorer.manifest.base_rate / (1 - scorer.manifest.base_rate)
    assert odds == pytest.approx(3 * base_odds)


def test_reasons_say_it_in_words_with_base_rates(scorer: Scorer) -> None:
    columns = {"count_pricing_view_30d": [4], "employee_count": [100.0], "source": ["referral"]}
    reasons = scorer.reasons(scorer.encode(columns))[0]
    first = reasons[0]
    assert first.feature == "count_pricing_view_30d"
    assert first.contribution > 0
    assert first.text.startswith("viewed pricing 4 times in 30 days (leads like that convert at ")
    assert first.said.rate is not None
    assert first.said.rate > first.said.base_rate
    assert any(reason.text.startswith("came from referral") for reason in reasons)


def test_a_missing_value_is_named_as_not_known(scorer: Scorer) -> None:
    columns = {"count_pricing_view_30d": [None], "employee_count": [50.0], "source": ["web"]}
    texts = [reason.text for reason in scorer.reasons(scorer.encode(columns))[0]]
    assert any(text.startswith("Views of the pricing page in 30 days: not known") for text in texts)


def test_a_deal_record_says_probability_and_risk(tmp_path: Path) -> None:
    scorer = train_toy(tmp_path, task="deal")
    record = scorer.record(toy_columns(1, seed=1), ids=["d1"], at=NOW)[0]
    assert record["opportunity_id"] == "d1"
    assert record["risk_score"] == pytest.approx(100 * (1 - record["win_probability"]), abs=0.01)
    assert record["risk_level"] in ("low", "medium", "high")


def test_ids_must_be_one_per_row(scorer: Scorer) -> None:
    with pytest.raises(ContractError, match=r"Expected: 3 ids\. Got: 1"):
        scorer.record(toy_columns(3, seed=1), ids=["a"], at=NOW)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"holds no manifest\.json"):
        Scorer.load(tmp_path)


def test_the_manifest_survives_the_file(tmp_path: Path) -> None:
    scorer = train_toy(tmp_path)
    assert Manifest.read(tmp_path) == scorer.manifest
    assert Scorer.load(tmp_path).manifest == scorer.manifest


def test_the_bundle_keeps_a_reference_sample_with_its_predictions(tmp_path: Path) -> None:
    scorer = train_toy(tmp_path)
    table = pq.read_table(tmp_path / "reference.parquet")
    assert table.column_names == [*scorer.manifest.feature_names, "probability", "as_of"]
    columns = {name: table.column(name).to_pylist() for name in scorer.manifest.feature_names}
    again = scorer.probability(scorer.encode(columns))
    assert again == pytest.approx(table.column("probability").to_numpy())
    assert str(table.schema.field("as_of").type) == "timestamp[us, tz=UTC]"


def test_every_group_of_the_documents_has_a_score_column(scorer: Scorer) -> None:
    record = scorer.record(toy_columns(1, seed=2), ids=["a"], at=NOW)[0]
    assert {f"{group}_score" for group in LEAD_GROUPS} <= set(record)


def test_scoring_imports_neither_mlflow_nor_optuna_nor_the_other_tree_library(tmp_path: Path) -> None:
    train_toy(tmp_path)
    code = (
        "import sys; from pathlib import Path; from training.scorer import Scorer\n"
        f"s = Scorer.load(Path({str(tmp_path)!r})); s.probability(s.encode({{'source': ['web']}}))\n"
        "print(sorted({'mlflow', 'optuna', 'xgboost', 'matplotlib', 'feast'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(
    st.lists(st.floats(-3, 3).map(lambda value: round(value, 1)), min_size=2, max_size=30).map(sorted),
    st.floats(-4, 4) | st.floats(-4, 4).map(lambda value: round(value, 1)),
)
def test_alone_or_among_others_a_value_has_the_same_rank(points: list[float], value: float) -> None:
    ladder = np.array(points)
    among, alone = _percentile(ladder, np.array([value, 0.0])), _percentile(ladder, np.array([value]))
    assert alone.tolist() == among[:1].tolist()


def test_the_scorer_itself_needs_numpy_alone() -> None:
    heavy = ("pandas", "sklearn", "scipy", "optuna", "mlflow", "pyarrow", "lightgbm", "xgboost", "duckdb", "yaml")
    code = f"import sys, training.scorer; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_a_bundle_loads_no_training_code(tmp_path: Path) -> None:
    train_toy(tmp_path)
    kept_out = ("study", "search", "classifier", "train", "plots", "report", "registry", "batch", "frame")
    code = (
        "import sys; from pathlib import Path; from training.scorer import Scorer\n"
        f"s = Scorer.load(Path({str(tmp_path)!r})); s.reasons(s.encode({{'source': ['web']}}))\n"
        f"print([name for name in {kept_out!r} if f'training.{{name}}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
