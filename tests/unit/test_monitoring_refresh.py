"""A refresh: the gate is asked again although nothing fails, when labels of newer times have come; it is no alarm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from common.workspace import Workspace
from monitoring import acting
from monitoring.acting import DRIFT_EVENT, EVALUATED_EVENT, event_payload, finish, record_retraining
from monitoring.checks import Check, State
from monitoring.decisions import DECISION, Recommendation, decide, decision_log, read_decisions
from monitoring.look import Look, keep_look
from monitoring.prometheus import render_metrics
from monitoring.refreshing import count_fresh, last_try
from monitoring.retraining import Evaluation, Facts, Policy, evaluate
from monitoring.standing import standing

NOW = datetime(2025, 6, 2, tzinfo=UTC)
FINE = Check(name="input drift", state=State.OK, says="None of 49 columns moved.")
MOVED = Check(name="input drift", state=State.NOTICE, says="3 of 49 columns moved.", cost_share=0.001)
WORTH = Check(name="data quality", state=State.OK, says="Score 97 of 100; 60 are needed.")
POOR = Check(name="data quality", state=State.FAILS, says="Score 40 of 100; 60 are needed.", cause="quality score")
BLIND = Check(name="data quality", state=State.UNKNOWN, says="No table could be assessed.")
LOSING = Check(name="real quality", state=State.FAILS, says="It loses.", cause="regret", cost_share=0.3)


def facts(**changed: Any) -> Facts:
    return Facts(
        **({"now": NOW, "last_try": NOW - timedelta(days=84), "fresh_labels": 300, "new_labels": 900} | changed)
    )


def refreshed(*checks: Check, policy: Policy | None = None, **changed: Any) -> Evaluation:
    return evaluate([checks or (FINE, WORTH)], facts(**changed), policy or Policy())


@pytest.mark.parametrize("drift", [FINE, MOVED])
def test_a_champion_that_nothing_is_wrong_with_is_refreshed_when_enough_labels_are_new(drift: Check) -> None:
    found = refreshed(drift, WORTH)
    assert (found.decision, found.is_refresh) == ("RETRAIN", True)
    assert found.reason == (
        "Nothing fails, but a refresh is due: the last try was 84 days ago, and 84 are waited; "
        "300 have labels that became known since; 300 are needed."
    )
    # No alarm: nothing fails, and there is no cause that anyone could be told of.
    assert (found.failing, found.cause, found.cost_share) == ((), "", None)


@pytest.mark.parametrize(
    ("changed", "condition"),
    [
        ({"last_try": NOW - timedelta(days=83)}, "last try"),
        ({"last_try": None}, "last try"),
        ({"last_retraining": NOW - timedelta(days=20)}, "last try"),
        ({"fresh_labels": 299}, "fresh labels"),
    ],
    ids=["too soon", "first look", "retrained since", "too few labels"],
)
def test_what_stands_between_a_champion_and_its_refresh(changed: dict[str, Any], condition: str) -> None:
    found = refreshed(**changed)
    assert (found.decision, found.is_refresh) == ("IGNORE", False)
    assert found.reason == "Nothing moved beyond chance and the ordinary difference between weeks."
    assert [each["condition"] for each in found.conditions if not each["holds"]] == [condition]


@pytest.mark.parametrize(
    ("quality", "decision"), [([WORTH], "RETRAIN"), ([POOR], "HOLD"), ([BLIND], "IGNORE"), ([], "IGNORE")]
)
def test_no_refresh_learns_from_data_whose_quality_did_not_pass(quality: list[Check], decision: str) -> None:
    assert refreshed(FINE, *quality).decision == decision


def test_the_cool_down_of_retraining_bounds_how_often_a_refresh_may_come() -> None:
    policy = Policy.model_validate({"refresh": {"every_days": 7}})
    assert refreshed(policy=policy, last_try=NOW - timedelta(days=27)).decision == "IGNORE"
    assert refreshed(policy=policy, last_try=NOW - timedelta(days=28)).decision == "RETRAIN"


def test_a_refresh_is_off_where_the_policy_says_never_and_where_no_labels_are_asked() -> None:
    never = Policy.model_validate({"refresh": {"every_days": None}})
    for found in (refreshed(policy=never), refreshed(fresh_labels=None)):
        assert (found.decision, found.conditions) == ("IGNORE", ())


def test_what_fails_is_not_called_a_refresh_and_keeps_its_own_conditions() -> None:
    found = refreshed(FINE, WORTH, LOSING)
    assert (found.decision, found.is_refresh) == ("HOLD", False)
    assert [condition["condition"] for condition in found.conditions] == ["looks", "cool-down", "new labels"]


def test_too_little_to_tell_is_no_time_for_a_refresh() -> None:
    blind = Check(name="input drift", state=State.UNKNOWN, says="12 rows are too few.")
    assert refreshed(blind, WORTH).decision == "HOLD"


# -- the clock and the count --


def look(end: datetime, *, version: str = "3", **values: Any) -> Look:
    return Look(
        look_id=f"look-{version}-{end:%Y%m%d}", task="lead", model="demo-lead", version=version,
        window=(end - timedelta(weeks=1), end), checks=(FINE, WORTH), **values,
    )  # fmt: skip


def tried(workspace: Workspace, at: datetime, *, model: str = "demo-lead") -> None:
    outcome = {"model": model, "version": "9", "promoted": False, "reason": "no better", "report": ""}
    record_retraining(workspace, look_id=None, task="lead", outcome=outcome, data_time=at)


def test_the_clock_starts_with_the_newest_try_or_the_first_look_at_the_version(tmp_path: Path) -> None:
    workspace = Workspace("demo", tmp_path)

    def clock(version: str = "3", until: datetime = NOW) -> datetime | None:
        return last_try(workspace, task="lead", model="demo-lead", version=version, until=until)

    assert clock() is None
    for weeks in (10, 9, 1):
        keep_look(workspace, look(NOW - timedelta(weeks=weeks)))
    assert clock() == NOW - timedelta(weeks=10)
    assert clock(version="4") is None
    tried(workspace, NOW - timedelta(weeks=12))
    assert clock() == NOW - timedelta(weeks=10)
    tried(workspace, NOW - timedelta(weeks=8))
    tried(workspace, NOW - timedelta(weeks=2), model="demo-deal")
    assert clock() == NOW - timedelta(weeks=8)
    # A run that catches up looks at a week before the try.
    assert clock(until=NOW - timedelta(weeks=9)) == NOW - timedelta(weeks=10)


def test_a_label_is_fresh_if_the_lead_had_none_at_the_last_try() -> None:
    days = np.array([100, 95, 91, 80, 120, 70, 60], dtype="timedelta64[D]")
    material = SimpleNamespace(
        label=np.array([0, 1, 0, 1, 0, 0, np.nan]),
        entity=np.array(["a", "b", "c", "d", "d", "e", "f"], dtype=object),
        as_of=np.datetime64(NOW.replace(tzinfo=None), "us") - days,
        horizon=timedelta(days=60),
    )
    assert count_fresh(material, since=None) == 5  # type: ignore[arg-type]
    # 31 days ago, rows of 91 days and more had labels: those of a, b, c and one of d.
    assert count_fresh(material, since=NOW - timedelta(days=31)) == 1  # type: ignore[arg-type]
    assert count_fresh(material, since=NOW - timedelta(days=32)) == 2  # type: ignore[arg-type]


# -- what follows --

DUE = {"last_try": (NOW - timedelta(days=100)).isoformat(), "fresh_labels": 712, "new_labels": 900}


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A workspace whose champion was not promoted by the gate, and channels that would tell of any alarm."""
    monkeypatch.setattr(acting, "promotion_log", lambda _: SimpleNamespace(entries=list))
    monkeypatch.setattr(acting, "tell", lambda *_, **__: pytest.fail("A refresh pages nobody"))
    return SimpleNamespace(
        workspace=Workspace("demo", tmp_path), policy=Policy(), registry=None, settings=SimpleNamespace(alerts=None)
    )


def test_a_refresh_is_recorded_starts_a_retraining_and_pages_nobody(parts: Any) -> None:
    seen, sent = look(NOW, facts=DUE), []
    keep_look(parts.workspace, seen)
    done = finish(parts, seen, emit=lambda *event: sent.append(event))
    assert (done.record.decision, done.alerts) == ("RETRAIN", ())
    assert done.record.inputs["refresh"] is True
    assert [each["holds"] for each in done.record.inputs["conditions"]] == [True, True, True]
    assert [(name, payload["kind"]) for name, _, payload in sent] == [(DRIFT_EVENT, "refresh")]
    assert event_payload(parts.workspace, seen, done.record)["cause"] == ""
    assert 'salience_monitoring_refresh{model="demo-lead"} 1' in render_metrics(parts.workspace)


def test_a_look_that_does_nothing_records_what_a_refresh_still_waits_for(parts: Any) -> None:
    seen, sent = look(NOW, facts=DUE | {"fresh_labels": 12}), []
    keep_look(parts.workspace, seen)
    done = finish(parts, seen, emit=lambda *event: sent.append(event[0]))
    assert (done.record.decision, sent) == ("IGNORE", [EVALUATED_EVENT])
    waits = [each["says"] for each in done.record.inputs["conditions"] if not each["holds"]]
    assert waits == ["12 have labels that became known since; 300 are needed"]


@pytest.mark.parametrize("decision", [Recommendation.IGNORE, Recommendation.HOLD])
def test_a_persons_word_on_a_refresh_stands_for_the_cool_down(parts: Any, decision: Recommendation) -> None:
    first = look(NOW - timedelta(weeks=1), facts=DUE)
    keep_look(parts.workspace, first)
    finish(parts, first)
    decide(parts.workspace, report_id=first.look_id, decision=decision, by="Ada", reason="After the fair.")
    for weeks, expected in ((0, decision), (4, "RETRAIN")):
        later = look(NOW + timedelta(weeks=weeks), facts=DUE)
        keep_look(parts.workspace, later)
        assert finish(parts, later).record.decision == expected
    assert sum(True for _ in decision_log(parts.workspace).steps(step=DECISION)) == 1


def test_the_first_screen_says_refresh_and_that_nothing_is_wrong(parts: Any) -> None:
    seen = look(NOW, facts=DUE)
    keep_look(parts.workspace, seen)
    finish(parts, seen)
    log = decision_log(parts.workspace)
    said = standing([seen], list(log.steps()), [], source="demo")
    assert (said.headline, said.mark, said.cost) == ("Refresh", "good", "nothing")
    assert said.wrong.startswith("No. Nothing moved")
    assert said.commands[0].startswith("salience decide RETRAIN --model lead")
    outcome = {"model": "demo-lead", "version": "4", "promoted": False, "reason": "no better", "report": ""}
    record_retraining(parts.workspace, look_id=seen.look_id, task="lead", outcome=outcome, data_time=NOW)
    said = standing([seen], list(log.steps()), [], source="demo")
    assert (said.headline, said.mark) == ("Refresh tried, champion stays", "good")
    assert read_decisions(parts.workspace)[-1].decision == "HOLD"
