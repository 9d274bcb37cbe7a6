"""The policy: when a failing model is retrained, and when it is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.errors import InputError, NotFoundError
from common.workspace import Workspace
from monitoring.checks import Check, State
from monitoring.decisions import Recommendation
from monitoring.look import due_ends
from monitoring.retraining import DEFAULT_FILE, Facts, Policy, evaluate, policy_of, read_policy

NOW = datetime(2025, 6, 2, tzinfo=UTC)
FACTS = Facts(now=NOW, new_labels=500)


def look(**states: State) -> list[Check]:
    """A look with the named checks; spaces as underscores."""
    named = {"input_drift": State.OK} | states
    return [
        Check(name=name.replace("_", " "), state=state, says=f"{name} is {state}.", cost_share=0.3)
        for name, state in named.items()
    ]


GOOD, BAD = look(), look(input_drift=State.FAILS)


@pytest.mark.parametrize(
    ("looks", "facts", "decision", "words"),
    [
        ([GOOD], FACTS, "IGNORE", "Nothing moved"),
        ([look(input_drift=State.NOTICE)], FACTS, "IGNORE", "costs next to nothing"),
        ([look(input_drift=State.UNKNOWN)], FACTS, "HOLD", "Too little to tell"),
        ([BAD], FACTS, "HOLD", "1 of the last 1 looks fail"),
        ([GOOD, BAD], FACTS, "HOLD", "1 of the last 2 looks fail"),
        ([BAD, BAD], FACTS, "RETRAIN", "2 of the last 2 looks fail and the newest does"),
        ([BAD, GOOD, BAD], FACTS, "RETRAIN", "2 of the last 3 looks fail"),
        ([BAD, BAD, GOOD], FACTS, "IGNORE", "Nothing moved"),
        ([BAD, GOOD, GOOD, BAD], FACTS, "HOLD", "1 of the last 3 looks fail"),
        ([BAD, BAD], Facts(now=NOW, new_labels=99), "HOLD", "99 with labels it has not learned from"),
        ([BAD, BAD], Facts(now=NOW, new_labels=None), "RETRAIN", "2 of the last 2"),
        ([BAD, BAD], Facts(now=NOW, new_labels=500, last_retraining=NOW - timedelta(days=27)), "HOLD", "27 days ago"),
        ([BAD, BAD], Facts(now=NOW, new_labels=500, last_retraining=NOW - timedelta(days=28)), "RETRAIN", "2 of"),
        ([BAD, look(input_drift=State.FAILS, data_quality=State.FAILS)], FACTS, "HOLD", "Mend this before"),
        ([BAD, look(input_drift=State.FAILS, online_skew=State.FAILS)], FACTS, "HOLD", "Mend this before"),
        (
            [BAD, BAD],
            Facts(now=NOW, new_labels=500, standing=(Recommendation.IGNORE, "Ada decided IGNORE: a trade fair")),
            "IGNORE",
            "Ada decided",
        ),
    ],
)  # fmt: skip
def test_decision_and_reason(looks, facts: Facts, decision: str, words: str) -> None:
    found = evaluate(looks, facts, Policy())
    assert found.decision == decision
    assert words in found.reason


@pytest.mark.parametrize(
    ("check", "age_days", "is_better", "decision"),
    [
        ("real_quality", 20, True, "ROLLBACK"),
        ("real_quality", 29, True, "RETRAIN"),
        ("real_quality", 20, False, "RETRAIN"),
        ("input_drift", 20, True, "RETRAIN"),
    ],
)
def test_only_measured_loss_of_a_young_champion_is_rolled_back_to_a_better_predecessor(
    check: str, age_days: int, is_better: bool, decision: str
) -> None:
    bad = look(**{check: State.FAILS})
    facts = Facts(now=NOW, new_labels=500, promoted_at=NOW - timedelta(days=age_days), predecessor_is_better=is_better)
    assert evaluate([bad, bad], facts, Policy()).decision == decision


def test_an_evaluation_names_the_conditions_the_cause_and_the_cost() -> None:
    found = evaluate([BAD, BAD], FACTS, Policy())
    assert [condition["condition"] for condition in found.conditions] == ["looks", "cool-down", "new labels"]
    assert all(condition["holds"] for condition in found.conditions)
    assert (found.failing, found.cause, found.cost_share) == (("input drift",), "input drift: input drift", 0.3)


def test_the_shipped_policy_is_the_default_one() -> None:
    assert read_policy(DEFAULT_FILE) == Policy()


def test_a_workspaces_own_policy_comes_before_the_products(tmp_path: Path) -> None:
    workspace = Workspace("demo", tmp_path)
    assert policy_of(workspace) == Policy()
    workspace.root.mkdir(parents=True)
    (workspace.root / "monitoring.yaml").write_text("every_days: 1\nretrain: {failing: 1}\n")
    own = policy_of(workspace)
    assert (own.every_days, own.retrain.failing, own.retrain.of_last) == (1, 1, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("retrain: {failing: 0, often: 3}", r"2 mistakes.*retrain.failing.*retrain.often"),
        ("every_days: weekly", "1 mistakes.*every_days"),
        ("[", "is not YAML"),
    ],
)
def test_a_broken_policy_is_refused_with_all_its_mistakes(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=words):
        read_policy(file)


def test_a_policy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no policy .*none\.yaml"):
        read_policy(tmp_path / "none.yaml")


MONDAY = datetime(2025, 6, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("newest", "since", "days_back"),
    [
        (None, None, [14, 7, 0]),
        (MONDAY, None, []),
        (MONDAY - timedelta(days=7), None, [0]),
        (MONDAY - timedelta(days=28), None, [21, 14, 7, 0]),
        (MONDAY, MONDAY - timedelta(days=7), [7, 0]),
        (None, MONDAY - timedelta(days=6), [0]),
        (None, MONDAY + timedelta(days=1), []),
    ],
)
def test_windows_missed_in_an_outage_are_due_and_those_looked_at_are_not(newest, since, days_back) -> None:
    for now in (MONDAY, MONDAY + timedelta(days=6, hours=23)):
        found = due_ends(now=now, every_days=7, newest=newest, since=since, first=3)
        assert found == [MONDAY - timedelta(days=days) for days in days_back]


def test_a_guess_is_told_as_one_and_never_priced_at_nothing() -> None:
    guess = Check(name="estimated quality", state=State.NOTICE, says="It is a guess.", figures={"is_a_guess": True})
    drifted = Check(name="input drift", state=State.NOTICE, says="3 of 50 columns moved.", cost_share=0.001)
    fine = Check(name="input drift", state=State.OK, says="fine")
    facts = Facts(now=datetime(2025, 6, 2, tzinfo=UTC))
    alone = evaluate([[fine, guess]], facts, Policy())
    assert (alone.verdict, alone.decision) == ("DRIFT", "IGNORE")
    assert alone.reason == "Nothing that is known costs anything. A guess: It is a guess."
    assert evaluate([[guess, drifted]], facts, Policy()).reason == "It costs next to nothing: 3 of 50 columns moved."


@pytest.mark.parametrize(("by", "decision"), [("Ada", "HOLD"), ("gate", "RETRAIN")])
def test_a_persons_hold_stands_for_its_cause_and_the_gates_does_not(tmp_path: Path, by: str, decision: str) -> None:
    """The gate kept one challenger out; what still fails a month later is retrained again."""
    from monitoring.acting import _with_standing
    from monitoring.decisions import DecisionRecord, Recommendation, Verdict, append_decision, decision_log
    from monitoring.look import Look

    workspace = Workspace("demo", tmp_path)
    end = NOW - timedelta(days=28)
    append_decision(
        workspace,
        DecisionRecord(
            report_id="look-1", decided_at=end, decided_by=by, verdict=Verdict.DRIFT, decision=Recommendation.HOLD,
            reason="Because.", task="lead", model_version="1", window=(end - timedelta(days=7), end),
            inputs={"cause": "input drift: input drift"}, thresholds={}, page="",
        ),
    )  # fmt: skip
    seen = Look(
        look_id="look-2", task="lead", model="demo-lead", version="1", window=(NOW - timedelta(days=7), NOW),
        checks=tuple(BAD),
    )  # fmt: skip
    policy = Policy.model_validate({"retrain": {"failing": 1, "of_last": 1}})
    first = evaluate([BAD], FACTS, policy)
    parts = SimpleNamespace(policy=policy)
    facts = _with_standing(FACTS, first, seen, parts, decision_log(workspace))  # type: ignore[arg-type]
    assert evaluate([BAD], facts, policy).decision == decision


def test_a_recalibrated_version_is_not_rolled_back_to_the_same_model_with_an_older_calibration(tmp_path: Path) -> None:
    from monitoring.acting import _data_time, record_retraining
    from monitoring.decisions import decision_log

    workspace = Workspace("demo", tmp_path)
    trained = {"model": "demo-lead", "version": "2", "promoted": True, "reason": "better", "report": ""}
    recalibrated = {**trained, "version": "3", "recalibrated_from": "2"}
    for outcome in (trained, recalibrated):
        record_retraining(workspace, look_id=None, task="lead", outcome=outcome, data_time=NOW)
    log = decision_log(workspace)
    assert _data_time("2", log) == NOW
    assert _data_time("3", log) is None
