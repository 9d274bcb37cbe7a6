"""The page's first screen, its chain, and the metrics: what they say of looks and steps."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.workspace import Workspace
from monitoring.checks import Check, State
from monitoring.decisions import (
    DECISION,
    EVALUATION,
    EVENT,
    RETRAINING,
    DecisionRecord,
    Recommendation,
    Step,
    Verdict,
    append_decision,
)
from monitoring.look import Look, keep_look, read_looks
from monitoring.model_page import render
from monitoring.prometheus import render_metrics
from monitoring.standing import standing

NOW = datetime(2025, 6, 2, tzinfo=UTC)
FAILING = Check(
    name="real quality", state=State.FAILS, says="It loses 0.0112 a row to <wrong> answers.", cause="regret",
    cost_share=0.31, figures={"auc": 0.655},
)  # fmt: skip
FINE = Check(name="input drift", state=State.OK, says="None of 49 columns moved beyond chance.")
BLIND = Check(name="online skew", state=State.UNKNOWN, says="No log is kept.")


def look(week: int, *checks: Check) -> Look:
    end = NOW + timedelta(weeks=week)
    return Look(
        look_id=f"look-{week}", task="lead", model="demo-lead", version="3", window=(end - timedelta(weeks=1), end),
        checks=checks, facts={"new_labels": 500},
    )  # fmt: skip


def record(of: Look, decision: str, *, by: str = "policy", reason: str = "Because.") -> DecisionRecord:
    return DecisionRecord(
        report_id=of.look_id, decided_at=of.end, decided_by=by, verdict=Verdict.DRIFT,
        decision=Recommendation(decision), reason=reason, task="lead", model_version="3", window=of.window,
        inputs={"failing": [], "cause": "", "cost_share": None}, thresholds={}, page="",
    )  # fmt: skip


def step(of: Look, kind: str, **values: object) -> Step:
    is_record = kind in (EVALUATION, DECISION)
    plain = record(of, **values).plain() if is_record else {"model": "demo-lead", **values}  # type: ignore[arg-type]
    return Step(step=kind, report_id=of.look_id, at=of.end.isoformat(), record=plain)


LOOKS = [look(0, FINE, BLIND), look(1, FAILING, FINE), look(2, FAILING, FINE, BLIND)]


def test_the_first_screen_answers_what_should_i_do() -> None:
    steps = [step(LOOKS[2], EVALUATION, decision="RETRAIN", reason="2 of the last 3 looks fail.")]
    said = standing(LOOKS, steps, [], source="demo")
    assert (said.headline, said.mark) == ("Retrain", "bad")
    assert said.wrong.startswith("Yes: real quality. It loses 0.0112")
    assert said.since == "the window until 2025-06-09, 2 looks"
    assert said.cost.startswith("31% of what the model is worth")
    assert said.recommended == "RETRAIN. 2 of the last 3 looks fail."
    assert said.commands[0].startswith("salience decide RETRAIN --model lead --source demo")


def test_nothing_wrong_says_so_and_what_is_not_known() -> None:
    said = standing(LOOKS[:1], [step(LOOKS[0], EVALUATION, decision="IGNORE")], [], source="demo")
    assert (said.headline, said.mark, said.cost, said.commands) == ("Nothing to do", "good", "nothing", ())
    assert said.wrong == "No. Nothing moved beyond chance. Not known: online skew."


@pytest.mark.parametrize(
    ("kind", "values", "headline", "words"),
    [
        (DECISION, {"decision": "IGNORE", "by": "Ada", "reason": "A fair."}, "Ignore, decided", "IGNORE by Ada"),
        (RETRAINING, {"version": "4", "promoted": True, "reason": "better"}, "Retrained", "version 4 promoted"),
        (RETRAINING, {"version": "4", "promoted": False, "reason": "no"}, "Hold: challenger kept out", "kept out. no"),
    ],
)
def test_what_was_decided_or_done_comes_before_what_was_recommended(kind, values, headline: str, words: str) -> None:
    steps = [step(LOOKS[2], EVALUATION, decision="RETRAIN"), step(LOOKS[2], kind, **values)]
    said = standing(LOOKS, steps, [], source="demo")
    assert said.headline == headline
    assert words in said.decided
    assert said.commands == ()


def test_the_whole_chain_is_on_the_page_newest_first_and_escaped(tmp_path: Path) -> None:
    steps = [
        step(LOOKS[2], EVALUATION, decision="RETRAIN"),
        step(LOOKS[2], EVENT, event="sales.drift.detected", look_id="look-2"),
        step(LOOKS[2], RETRAINING, version="4", promoted=True, reason="better", report="none.html"),
    ]
    moved = {"at": (NOW + timedelta(weeks=3)).isoformat(), "promoted": True, "version": "4", "champion_before": "3",
             "kind": "gate", "who": "prefect", "reason": "better"}  # fmt: skip
    page = render(LOOKS, steps, [moved], folder=tmp_path, source="demo")
    places = [page.index(word) for word in ("alias moved", "sales.drift.detected", "What was looked at")]
    assert places == sorted(places)
    assert "champion is now version 4 (before: 3)" in page
    assert "&lt;wrong&gt;" in page
    assert "<wrong>" not in page
    assert not re.search(r"(src|href)=\"http", page)


def test_a_look_reads_back_as_it_was_written_and_metrics_tell_it(tmp_path: Path) -> None:
    workspace = Workspace("demo", tmp_path)
    for each in LOOKS:
        keep_look(workspace, each)
    assert read_looks(workspace, "lead") == LOOKS
    append_decision(workspace, record(LOOKS[2], "RETRAIN"))
    text = render_metrics(workspace)
    assert 'salience_monitoring_check_state{model="demo-lead",version="3",check="real quality"} 2.0' in text
    assert 'salience_monitoring_check_state{model="demo-lead",version="3",check="online skew"} -1.0' in text
    assert 'salience_monitoring_check_cost_share{model="demo-lead",version="3",check="real quality"} 0.31' in text
    assert 'salience_monitoring_decision{model="demo-lead",decision="RETRAIN"} 1.0' in text
    assert 'salience_monitoring_auc{model="demo-lead",version="3",kind="real"} 0.655' in text
    assert 'salience_monitoring_looks_total{model="demo-lead"} 3' in text
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) .+|[a-z_]+(\{([a-z_]+="[^"]*",?)*\})? -?[0-9.e+]+', line), line


def test_no_looks_no_metrics(tmp_path: Path) -> None:
    assert render_metrics(Workspace("demo", tmp_path)) == "\n"


def test_unicode_and_a_missing_evaluation_are_shown(tmp_path: Path) -> None:
    odd = replace(LOOKS[2], checks=(replace(FAILING, says="Größe & „Menge“ <b>"),))
    page = render([odd], [], [], folder=tmp_path, source="demo")
    assert "Größe &amp; „Menge“ &lt;b&gt;" in page
    assert "not evaluated yet" in page


def test_an_estimate_that_nothing_vouches_for_is_no_all_clear_on_the_first_screen() -> None:
    """The method cannot know (issue 9, Shows 3): the first screen says so, and prices nothing."""
    guess = Check(
        name="estimated quality", state=State.NOTICE, cause="expected AUC", figures={"is_a_guess": True},
        says="Expected AUC 0.49. It is a guess: 99% of the rows have values of rate that no labelled row has.",
    )  # fmt: skip
    looks = [look(0, FINE), look(1, FINE, guess)]
    said = standing(looks, [step(looks[-1], EVALUATION, decision="IGNORE")], [], source="demo")
    assert said.headline == "Wait: not known yet"
    assert said.mark == "unsure"
    assert said.wrong.startswith("Not that is known.")
    assert "cannot be known yet" in said.wrong
    assert "99% of the rows" in said.wrong
    assert said.cost == "not known"
    page = render(looks, [], [], folder=Path(), source="demo")
    assert "a guess</span>" in page
    failing = standing([look(0, FAILING, guess)], [], [], source="demo")
    assert failing.wrong.startswith("Yes: real quality.")
    assert "cannot be known yet" in failing.wrong
