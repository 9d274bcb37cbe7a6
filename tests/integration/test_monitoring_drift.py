"""The whole drift report, with Evidently: what it says, what it writes, what it records."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from common.errors import ContractError, InputError
from common.workspace import Workspace
from monitoring.decisions import read_decisions
from monitoring.drift import DriftReport, report_drift
from monitoring.sampling import MOST_ROWS

WINDOW = (datetime(2025, 3, 3, tzinfo=UTC), datetime(2025, 3, 31, tzinfo=UTC))
FEATURES = [
    SimpleNamespace(name="days_since_last_activity", dtype="float", about="Days since anything happened."),
    SimpleNamespace(name="count_email_click_30d", dtype="int", about="Clicks in 30 days."),
    SimpleNamespace(name="constant", dtype="float", about="Always one."),
    SimpleNamespace(name="empty", dtype="float", about="Never known."),
    SimpleNamespace(name="source", dtype="category", about="Where the lead <came> from."),
    SimpleNamespace(name="is_decision_maker", dtype="bool", about="Title says so."),
]
IMPORTANCE = {"days_since_last_activity": 6.0, "source": 3.0, "count_email_click_30d": 1.0}


def batch(rows: int, *, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "lead_id": [f"L{i}" for i in range(rows)],
            "days_since_last_activity": random.exponential(10, rows),
            "count_email_click_30d": random.poisson(2, rows),
            "constant": 1.0,
            "empty": np.nan,
            "source": random.choice(["web", "referral", "event"], rows),
            "is_decision_maker": random.random(rows) < 0.3,
            "probability": random.beta(2, 8, rows),
        }
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace("demo", tmp_path)


def compare(workspace: Workspace, current, *, reference=None, **changes) -> DriftReport:
    values = {
        "features": FEATURES, "task": "lead", "workspace": workspace, "window": WINDOW, "model_version": "3", "seed": 7,
        "importance": IMPORTANCE,
    }  # fmt: skip
    return report_drift(batch(800, seed=1) if reference is None else reference, current, **(values | changes))


def test_a_planted_shift_is_found_named_ranked_written_and_recorded(workspace: Workspace) -> None:
    current = batch(200, seed=2)
    current["days_since_last_activity"] *= 3
    current["count_email_click_30d"] += 1
    current.loc[:40, "source"] = "partner <portal>"
    steps: list[str] = []
    report = compare(workspace, current, progress=lambda what, done, total: steps.append(what))

    assert (report.verdict, report.recommendation) == ("DRIFT", "RETRAIN")
    assert [column.name for column in report.drifted] == ["days_since_last_activity", "source", "count_email_click_30d"]
    assert report.drifted[1].unseen == (("partner <portal>", 41),)
    assert {"calibrating thresholds", "writing the report"} <= set(steps)

    page = report.page.read_text()
    assert "DRIFT" in page
    assert "RETRAIN" in page
    assert "partner &lt;portal&gt;" in page
    assert "<portal>" not in page
    assert 'href="evidently.html"' in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert report.evidently_page is not None
    assert report.evidently_page.parent == report.page.parent
    assert report.evidently_page.stat().st_size > 100_000

    data = json.loads(report.data.read_text())
    assert (data["verdict"], data["window"][1]) == ("DRIFT", "2025-03-31T00:00:00+00:00")
    assert len(data["columns"]) == 7
    assert json.loads(json.dumps(report.as_record()))["drifted"][0] == "days_since_last_activity"
    assert report.as_markdown().startswith("# DRIFT: RETRAIN")
    assert read_decisions(workspace) == [report.decision]
    assert report.decision.thresholds["source/values"][1] == report.drifted[1].threshold


def test_evidently_says_the_same_as_we_do_and_keeps_the_run_in_its_workspace(workspace: Workspace) -> None:
    current = batch(200, seed=2)
    current["count_email_click_30d"] += 2
    for version in ("3", "4"):
        report = compare(workspace, current, model_version=version)
    assert report.decision.thresholds["count_email_click_30d/values"][0] == pytest.approx(
        next(c.statistic for c in report.columns if c.name == "count_email_click_30d")
    )
    projects = [json.loads(path.read_text()) for path in workspace.evidently.glob("*/metadata.json")]
    assert [project["name"] for project in projects] == ["demo-lead"]
    snapshots = [json.loads(path.read_text()) for path in workspace.evidently.glob("*/snapshots/*.json")]
    assert len(snapshots) == 2
    failed = {
        test["metric_config"]["params"]["column"]
        for result in snapshots[-1]["metric_results"].values()
        for test in result["tests"]
        if test["status"] == "FAIL"
    }
    assert failed == {column.name for column in report.drifted} == {"count_email_click_30d"}


def test_an_unchanged_batch_is_ok_and_nothing_is_to_be_done(workspace: Workspace) -> None:
    report = compare(workspace, pa.Table.from_pandas(batch(200, seed=3), preserve_index=False))
    assert (report.verdict, report.recommendation, report.drifted) == ("OK", "IGNORE", ())
    assert "None of 7 columns" in report.page.read_text()


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_too_few_rows_cannot_tell_and_say_so_without_evidently(workspace: Workspace, rows: int) -> None:
    report = compare(workspace, batch(200, seed=3).head(rows))
    assert (report.verdict, report.recommendation) == ("CANNOT TELL", "HOLD")
    assert report.evidently_page is None
    assert "CANNOT TELL" in report.page.read_text()
    assert f"has {rows} rows" in report.page.read_text()
    assert read_decisions(workspace)[0].verdict == "CANNOT TELL"


def test_an_empty_reference_cannot_tell(workspace: Workspace) -> None:
    assert compare(workspace, batch(200, seed=3), reference=batch(0, seed=1)).verdict == "CANNOT TELL"


def test_a_feature_that_stopped_arriving_holds_any_retraining(workspace: Workspace) -> None:
    report = compare(workspace, batch(200, seed=3).assign(source=None))
    assert (report.verdict, report.recommendation) == ("DRIFT", "HOLD")
    assert [column.name for column in report.drifted] == ["source"]
    assert "mend the feed" in report.reason


def test_several_rows_of_one_thing_count_once(workspace: Workspace) -> None:
    copies = pd.concat([batch(40, seed=4)] * 20, ignore_index=True)
    by_row = compare(workspace, copies)
    by_lead = compare(workspace, copies, entity="lead_id")
    assert (by_row.compared_rows, by_lead.compared_rows) == ((800, 800), (800, 40))
    assert by_row.verdict == "DRIFT"
    assert by_lead.verdict == "OK"


def test_a_larger_frame_is_sampled_and_the_page_says_so(workspace: Workspace) -> None:
    report = compare(workspace, batch(60, seed=5), reference=batch(MOST_ROWS + 10, seed=6))
    assert report.compared_rows == (20_000, 60)
    assert "20,000 of 20,010 rows (a random sample)" in report.page.read_text()


def test_what_the_caller_left_out_is_shown_with_its_reason(workspace: Workspace) -> None:
    report = compare(
        workspace,
        batch(20, seed=3),
        not_compared={"win_rate_rep_365d": "one value for all rows of a rep"},
        reference_window=(WINDOW[0] - timedelta(days=90), WINDOW[0]),
    )
    assert "one value for all rows of a rep" in report.page.read_text()
    assert "2024-12-03 to 2025-03-03" in report.page.read_text()


def test_a_vanished_column_is_a_broken_frame_and_named(workspace: Workspace) -> None:
    with pytest.raises(ContractError, match="current frame lacks 1 of 7 columns: source"):
        compare(workspace, batch(200, seed=3).drop(columns="source"))


def test_text_in_a_numeric_column_is_named(workspace: Workspace) -> None:
    with pytest.raises(ContractError, match="Column 'constant' should hold numbers"):
        compare(workspace, batch(200, seed=3).assign(constant="one"))


@pytest.mark.parametrize(
    ("window", "words"),
    [(WINDOW[::-1], "ends before it starts"), ((datetime(2025, 3, 3), WINDOW[1]), "no time zone")],
)
def test_an_impossible_window_is_refused(workspace: Workspace, window, words: str) -> None:
    with pytest.raises(InputError, match=words):
        compare(workspace, batch(200, seed=3), window=window)


def test_the_input_frames_stay_as_they_were(workspace: Workspace) -> None:
    reference, current = batch(200, seed=1), batch(20, seed=2)
    before = reference.copy(), current.copy()
    compare(workspace, current, reference=reference, entity="lead_id")
    pd.testing.assert_frame_equal(reference, before[0])
    pd.testing.assert_frame_equal(current, before[1])
