"""`salience models` and `salience train --scoring` on a small trained world: what they do, print and refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from common.errors import ContractError, InputError, NotFoundError, TooLittleDataError
from flows.cli_models import app
from flows.cli_train import budget_minutes, horizon_days
from training.comparison import compare_versions, newest_rows
from training.lead import lead_recipe, train_lead
from training.promotion import promotion_log
from training.rebuild import rebuild
from training.record import TrainingRecord
from training.results import RegisteredModel, TrainingOutcome
from training.scorer import Scorer
from training.scoring.scoring_file import ScoringFile, read_scoring_file

if TYPE_CHECKING:
    from conftest import SmallWorld

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "scoring"


@pytest.fixture(autouse=True)
def _in_the_small_world(small_world: SmallWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALIENCE_HOME", str(small_world.folder / "home"))
    monkeypatch.setenv("SALIENCE_MLRUNS", str(small_world.folder / "mlruns"))
    monkeypatch.setenv("SALIENCE_TRAINING__THREADS", "1")


@pytest.fixture(scope="module")
def card(small_world: SmallWorld) -> TrainingOutcome:
    """The example scorecard as a version of the lead model."""
    return train(small_world, read_scoring_file(EXAMPLES / "scorecard.yaml"))


def train(world: SmallWorld, scoring: ScoringFile, **options: Any) -> TrainingOutcome:
    return train_lead(
        world.repository, world.warehouse, world.registry, world.source,
        trials=1, settings=world.settings, scoring=scoring, **options,
    )  # fmt: skip


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_scorecard_is_a_version_like_any_other(small_world: SmallWorld, card: TrainingOutcome) -> None:
    assert card.name == small_world.workspace.model_name("lead")
    assert {"const", "logistic_regression", "rule_score"} <= set(card.baselines)
    assert "difference" in card.decision.evidence or "could not be evaluated" in card.decision.reason
    scorer = Scorer.load(card.bundle)
    assert scorer.manifest.library == "scorecard"
    assert scorer.manifest.thresholds["cold"] == 0.0 < scorer.manifest.thresholds["warm"]
    columns = {name: [None] for name in scorer.manifest.feature_names}
    columns["count_demo_request_90d"] = [2]
    record = scorer.record(columns, ids=["L1"], at=small_world.now)[0]
    assert record["scoring_factors"]["for"][0]["feature"] == "count_demo_request_90d"
    newest = small_world.registry.versions(card.name)[0]
    assert (newest.version, newest.tags["scoring"]) == (card.version, "sdr-points")


def test_a_choice_of_features_reads_only_those_and_is_judged_against_the_whole_champion(
    small_world: SmallWorld, card: TrainingOutcome
) -> None:
    chosen = read_scoring_file(EXAMPLES / "features.yaml")
    outcome = train(small_world, chosen)
    assert set(Scorer.load(outcome.bundle).manifest.feature_names) <= set(chosen.features)
    assert "lacks" not in outcome.decision.reason
    assert Scorer.load(outcome.bundle).manifest.thresholds == {"cold": 0.0, "hot": 0.25, "warm": 0.1}


def test_an_unknown_feature_stops_before_anything_is_fitted(small_world: SmallWorld) -> None:
    with pytest.raises(InputError, match=r"there is no feature 'count_pricing_view_3d' .near: count_pricing_view_30d"):
        train(small_world, ScoringFile(name="typo", features=("count_pricing_view_3d",)))


def test_list_show_and_history_tell_versions_records_and_decisions(
    small_world: SmallWorld, card: TrainingOutcome
) -> None:
    listed = run("list")
    assert "sdr-points" in listed
    assert "champion" in listed
    assert "simulated-forecast" in listed
    shown = run("show", card.version)
    assert "source: simulated" in shown
    assert "rule_score" in shown
    assert TrainingRecord.read(card.bundle).model_hash in shown
    told = run("history", "--model", "lead")
    assert card.decision.reason[:60] in told
    assert "no line was changed or cut off" in told
    assert "simulated-deal" not in told


def test_compare_asks_both_about_rows_that_neither_has_seen(small_world: SmallWorld, card: TrainingOutcome) -> None:
    printed = run("compare", "champion", card.version)
    assert "which neither has seen" in printed
    assert "log-loss by segment" in printed or "No segment has enough" in printed
    registry, name = small_world.registry, card.name
    pair = [registry.version(name, "1"), registry.version(name, card.version)]
    rows = newest_rows(
        lead_recipe(small_world.source), small_world.repository, small_world.warehouse, pair,
        settings=small_world.settings,
    )  # fmt: skip
    found = compare_versions(*pair, rows, limits=small_world.settings.gate, seed=7)  # type: ignore[arg-type, misc]
    moment = TrainingRecord.read(card.bundle).moment
    assert found.since >= moment[:19]
    figures = {pair.name: pair for pair in found.figures}
    assert figures["log_loss"].first == pytest.approx(small_world.outcomes["lead"].metrics["log_loss"].value)
    assert figures["log_loss"].second == pytest.approx(card.metrics["log_loss"].value)
    assert figures["log_loss"].low <= figures["log_loss"].second - figures["log_loss"].first <= figures["log_loss"].high
    same = compare_versions(pair[0], pair[0], rows, limits=small_world.settings.gate, seed=7)
    assert all(each.better == "neither" and each.low == each.high == 0.0 for each in same.figures)


def test_versions_that_answer_different_questions_are_not_compared(
    small_world: SmallWorld, card: TrainingOutcome, tmp_path: Path
) -> None:
    manifest = json.loads((card.bundle / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"horizon_days": 30}))
    first = small_world.registry.version(card.name, card.version)
    pair = [first, replace(first, version="99", bundle=tmp_path)]
    with pytest.raises(ContractError, match=r"different questions.*version 99: 30 days"):
        newest_rows(
            lead_recipe(small_world.source), small_world.repository, small_world.warehouse, pair,
            settings=small_world.settings,
        )  # fmt: skip


def test_rows_newer_than_everything_are_said_to_be_missing(
    small_world: SmallWorld, card: TrainingOutcome, tmp_path: Path
) -> None:
    first = small_world.registry.version(card.name, card.version)
    record = replace(TrainingRecord.read(card.bundle), moment="2099-01-01T00:00:00+00:00")
    (tmp_path / "manifest.json").write_text((card.bundle / "manifest.json").read_text())
    record.write(tmp_path)
    with pytest.raises(TooLittleDataError, match=r"newer than what the versions were trained on \(2099-01-01\)"):
        newest_rows(
            lead_recipe(small_world.source), small_world.repository, small_world.warehouse,
            [replace(first, bundle=tmp_path)], settings=small_world.settings,
        )  # fmt: skip


def test_promote_and_rollback_move_the_champion_and_bring_back_the_older_answers(
    small_world: SmallWorld, card: TrainingOutcome
) -> None:
    registry, name = small_world.registry, card.name
    before = registry.champion(name)
    assert before is not None
    with pytest.raises(InputError, match="only for a reason"):
        run("promote", card.version)
    # The small world's champion was put in place by the tests' own hand; from here on the log knows it.
    run("promote", before.version, "--because", "what the world began with")

    def answers() -> np.ndarray:
        scorer = Scorer.load(registry.bundle(name))
        return scorer.probability(scorer.encode(_nothing(scorer)))

    older = answers()
    printed = run("promote", card.version, "--because", "our reps asked for points", "--by", "sales lead")
    assert f"version {card.version} is champion (before: version {before.version})" in printed
    assert "by hand: our reps asked for points" in printed
    assert not np.array_equal(answers(), older)
    printed = run("rollback", "--because", "too coarse")
    assert f"version {before.version} is champion" in printed
    assert np.array_equal(answers(), older)
    assert promotion_log(registry).entries()[-1]["kind"] == "rollback"


def _nothing(scorer: Scorer) -> dict[str, list[Any]]:
    return {name: [None, None, None] for name in scorer.manifest.feature_names}


def test_what_does_not_exist_is_said(card: TrainingOutcome) -> None:
    with pytest.raises(NotFoundError, match="has no version 999"):
        run("show", "999")
    with pytest.raises(NotFoundError, match="has no version or alias 'newest'"):
        run("show", "newest")
    with pytest.raises(InputError, match="There is no model 'revenue'"):
        run("list", "--model", "revenue")
    with pytest.raises(InputError, match="A forecast keeps no record"):
        run("rebuild", "1", "--model", "forecast")


@pytest.mark.parametrize("task", ["lead", "deal"])
def test_a_version_is_rebuilt_from_its_record_to_the_same_hash(small_world: SmallWorld, task: str) -> None:
    outcome = small_world.outcomes[task]
    printed = run("rebuild", outcome.version, "--model", task)
    assert "the same model" in printed
    assert "differs" not in printed


def test_a_rebuilt_scorecard_is_the_same_and_another_record_says_what_differs(
    small_world: SmallWorld, card: TrainingOutcome, tmp_path: Path
) -> None:
    found = small_world.registry.version(card.name, card.version)

    def repeat(model: RegisteredModel) -> Any:
        return rebuild(
            model, small_world.warehouse, small_world.source,
            workspace=small_world.workspace, settings=small_world.settings,
        )  # fmt: skip

    assert repeat(found).is_same
    record = TrainingRecord.read(card.bundle)
    assert record.scoring is not None
    points = [{**part, "missing": 7.0} for part in record.scoring["points"]]
    other = replace(
        record,
        scoring={**record.scoring, "points": points},
        fingerprint="another",
        libraries={**record.libraries, "numpy": "0.1"},
    )
    other.write(tmp_path)
    rebuilt = repeat(replace(found, bundle=tmp_path))
    assert not rebuilt.is_same
    assert "the values that the model learned from" in rebuilt.differences
    assert any(words.startswith("numpy: 0.1 then") for words in rebuilt.differences)


def test_a_record_of_another_workspace_is_refused(
    small_world: SmallWorld, card: TrainingOutcome, tmp_path: Path
) -> None:
    replace(TrainingRecord.read(card.bundle), workspace="elsewhere").write(tmp_path)
    model = replace(small_world.registry.version(card.name, card.version), bundle=tmp_path)
    with pytest.raises(InputError, match=r"was trained in another workspace.*--source elsewhere"):
        rebuild(
            model, small_world.warehouse, small_world.source,
            workspace=small_world.workspace, settings=small_world.settings,
        )  # fmt: skip


@pytest.mark.parametrize(("text", "days"), [("90d", 90), ("13w", 91), (" 7 D ", 7), (None, None)])
def test_a_horizon_is_days_or_weeks(text: str | None, days: int | None) -> None:
    assert horizon_days(text) == days


@pytest.mark.parametrize("text", ["90", "d", "-5d", "0d", "3m", "9999w", "zwei Wochen"])
def test_what_is_no_horizon_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"no span of days or weeks.*90d or 13w"):
        horizon_days(text)


@pytest.mark.parametrize(("text", "minutes"), [("90s", 1.5), ("10m", 10.0), ("1h", 60.0), (None, None)])
def test_a_time_budget_is_seconds_minutes_or_hours(text: str | None, minutes: float | None) -> None:
    assert budget_minutes(text) == minutes


@pytest.mark.parametrize("text", ["10", "0m", "200h", "1d", "soon"])
def test_what_is_no_time_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"no span of seconds, minutes or hours"):
        budget_minutes(text)
