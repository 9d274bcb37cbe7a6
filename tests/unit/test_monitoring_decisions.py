"""Verdicts and recommendations, and the record of decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.errors import ContractError, InputError, NotFoundError
from common.workspace import Workspace
from monitoring.decisions import (
    DecisionRecord,
    Recommendation,
    Verdict,
    append_decision,
    decide,
    decisions_file,
    read_decisions,
)
from monitoring.policy import ColumnDrift, judge

MOMENT = datetime(2025, 3, 31, 12, tzinfo=UTC)


def column(name: str, **changes) -> ColumnDrift:
    values = {
        "name": name, "about": "", "kind": "numeric", "statistic": 0.1, "typical": 0.1, "threshold": 0.3,
        "p_value": 0.9, "values_ring": False, "missing_reference": 0.0, "missing_current": 0.0,
        "missing_threshold": None, "missing_rings": False, "unseen": (), "importance": None, "cost": 0.0,
    }  # fmt: skip
    return ColumnDrift(**(values | changes))


def record(**changes) -> DecisionRecord:
    values = {
        "report_id": "drift-lead-3-20250331T120000Z", "decided_at": MOMENT, "decided_by": "policy",
        "verdict": Verdict.DRIFT, "decision": Recommendation.RETRAIN, "reason": "2 of 9 columns moved.", "task": "lead",
        "model_version": "3", "window": (datetime(2025, 3, 3, tzinfo=UTC), MOMENT),
        "inputs": {"current_rows": 150, "seed": 7},
        "thresholds": {"amount/values": (0.5, 0.2), "gone/values": (None, None)},
        "page": "/reports/report.html",
    }  # fmt: skip
    return DecisionRecord(**(values | changes))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace("demo", tmp_path)


@pytest.mark.parametrize(
    ("columns", "rows", "verdict", "recommendation", "words"),
    [
        ([column("a")], 150, "OK", "IGNORE", "None of 1 columns moved"),
        ([column("a")], 29, "CANNOT TELL", "HOLD", "29 rows; below 30"),
        ([column("a")], 0, "CANNOT TELL", "HOLD", "current side has 0 rows"),
        ([column("a", statistic=None)], 150, "CANNOT TELL", "HOLD", "No column has enough values"),
        ([], 150, "CANNOT TELL", "HOLD", "No column has enough values"),
        ([column("probability", values_ring=True), column("a")], 150, "DRIFT", "RETRAIN", "own answers moved"),
        ([column("a", values_ring=True, importance=0.4)], 150, "DRIFT", "RETRAIN", "40% of the model"),
        ([column("a", values_ring=True, importance=0.01)], 150, "DRIFT", "IGNORE", "1.0% of the model"),
        ([column("a", values_ring=True)], 150, "DRIFT", "RETRAIN", "weight in the model was not given"),
        (
            [column("a", missing_rings=True, missing_current=0.9), column("probability", values_ring=True)],
            150, "DRIFT", "HOLD", "mend the feed",
        ),
    ],
)  # fmt: skip
def test_verdict_and_recommendation(columns, rows: int, verdict: str, recommendation: str, words: str) -> None:
    found = judge(columns, reference_rows=1_000, current_rows=rows)
    assert found[:2] == (verdict, recommendation)
    assert words in found[2]


def test_too_small_a_reference_cannot_tell() -> None:
    verdict, recommendation, reason = judge([column("a")], reference_rows=99, current_rows=500)
    assert (verdict, recommendation) == ("CANNOT TELL", "HOLD")
    assert "reference side has 99 rows" in reason


def test_a_record_reads_back_as_it_was_written(workspace: Workspace) -> None:
    written = [record(), record(decided_by="mlops@example.com")]
    for one in written:
        append_decision(workspace, one)
    assert read_decisions(workspace) == written


def test_a_line_cut_off_by_a_crash_does_not_swallow_the_next(workspace: Workspace) -> None:
    append_decision(workspace, record())
    with decisions_file(workspace).open("a") as file:
        file.write('{"report_id": "dri')
    assert len(read_decisions(workspace)) == 1
    append_decision(workspace, record())
    assert len(decisions_file(workspace).read_text().splitlines()) == len(read_decisions(workspace)) == 2


def test_a_line_changed_afterwards_is_named(workspace: Workspace) -> None:
    for _ in range(3):
        append_decision(workspace, record())
    lines = decisions_file(workspace).read_text().splitlines()
    lines[1] = lines[1].replace("RETRAIN", "IGNORE")
    decisions_file(workspace).write_text("\n".join(lines) + "\n")
    with pytest.raises(ContractError, match=r"Line 2 of the .* was changed after it was written"):
        read_decisions(workspace)


def test_a_persons_decision_stands_beside_the_policys(workspace: Workspace) -> None:
    first = record()
    append_decision(workspace, first)
    made = decide(
        workspace,
        report_id=first.report_id,
        decision=Recommendation.IGNORE,
        by="Ada",
        reason="The trade fair ends on Friday.",
        at=MOMENT,
    )
    assert read_decisions(workspace) == [first, made]
    assert (made.decided_by, made.decision, made.verdict) == ("Ada", "IGNORE", "DRIFT")
    assert (made.window, made.thresholds, made.decision_id != first.decision_id) == (
        first.window,
        first.thresholds,
        True,
    )


def test_a_decision_on_an_unknown_report_names_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError, match="none has been made yet"):
        decide(workspace, report_id="x", decision=Recommendation.HOLD, by="Ada", reason="why")
    append_decision(workspace, record())
    with pytest.raises(NotFoundError, match=r"No drift report 'x' .* one of drift-lead-3-20250331T120000Z"):
        decide(workspace, report_id="x", decision=Recommendation.HOLD, by="Ada", reason="why")


@pytest.mark.parametrize(("by", "reason", "field"), [(" ", "why", "by"), ("Ada", "", "reason")])
def test_a_decision_without_who_or_why_is_refused(workspace: Workspace, by: str, reason: str, field: str) -> None:
    append_decision(workspace, record())
    with pytest.raises(InputError, match=f"needs '{field}'"):
        decide(workspace, report_id=record().report_id, decision=Recommendation.HOLD, by=by, reason=reason)


def test_no_file_means_no_decisions(workspace: Workspace) -> None:
    assert read_decisions(workspace) == []
