"""Every check of the quality report finds what it is for, says how many, which, and what to do."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from quality_world import NOW, at, findings, only, row, warehouse_of

from warehouse.quality import QualityReport, assess_quality


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> QualityReport:
    """One of each fault."""
    warehouse = warehouse_of(
        tmp_path_factory.mktemp("messy"),
        accounts=[
            row("accounts", "A-1", name="Alderline Systems Inc."),
            row("accounts", "A-2", name="Alderlime Systems, GmbH"),
            row("accounts", "A-3", name="Zenith Foods", country="DE"),
        ],
        leads=[
            row("leads", "L-1"),
            row("leads", "L-2", day=-1, known=0, email="b.example.com"),
            row("leads", "L-3", day=1, known=0, email="c@other.example"),
        ],
        lead_events=[
            row("lead_events", "E-1", lead_id="L-1", day=-31),
            row("lead_events", "E-2", lead_id="L-1", day=-29),
            row("lead_events", "E-3", lead_id="L-unknown", day=3, known=13),
            row("lead_events", "E-4", lead_id="L-1", day=4),
            row("lead_events", "E-5", lead_id="L-1", day=4),
        ],
        opportunities=[
            row("opportunities", "D-1"),
            row("opportunities", "D-1", day=10, status="won", stage="Won"),
            row("opportunities", "D-1", day=20, status="open"),
            row("opportunities", "D-2", status="lost", day=-2, known=0),
            row("opportunities", "D-3", status="won", day=5, stage="Won", amount_usd=0.0),
            row("opportunities", "D-4", status="won", day=6, stage="Won"),
            row("opportunities", "D-5", day=7, stage="Demo"),
            row("opportunities", "D-5", day=7, stage="Proposal"),
            row("opportunities", "D-6", day=8, status="pending"),
        ],
        activities=[
            row("activities", "V-1", opportunity_id="D-4", day=35),
            row("activities", "V-2", opportunity_id="D-4", day=37),
            row("activities", "V-3", day=8),
        ],
        transactions=[row("transactions", "X-1", opportunity_id="D-4", day=-1, account_id="A-1")],
        campaigns=[row("campaigns", "C-1", name="Fair", starts_on=date(2025, 3, 2), ends_on=date(2025, 3, 1))],
    )
    return assess_quality(warehouse, as_of=NOW)


@pytest.mark.parametrize(
    ("check", "count", "examples"),
    [
        ("orders.closed_before_opened", 1, ("D-2",)),
        ("orders.version_before_lead", 1, ("L-2",)),
        ("orders.event_before_lead", 1, ("E-1",)),
        ("orders.activity_after_closing", 1, ("V-2",)),
        ("orders.money_before_deal", 1, ("X-1",)),
        ("orders.open_after_won", 1, ("D-1",)),
        ("orders.ends_before_start", 1, ("C-1",)),
        ("times.future", 1, ("L-3",)),
        ("consistency.reference", 1, ("L-unknown",)),
        ("consistency.won_without_transaction", 1, ("D-3",)),
        ("uniqueness.conflicting", 2, ("D-5",)),
        ("uniqueness.same_content", 1, ("E-4", "E-5")),
        ("validity.amount_usd", 1, ("D-3",)),
        ("validity.email", 1, ("L-2",)),
        ("validity.opportunity_id", 1, ("V-3",)),
        ("validity.quarantined", 1, ()),
        ("timeliness.late", 1, ()),
        ("duplicates.candidates", 2, ("A-1 = A-2",)),
    ],
)
def test_each_fault_is_found_with_its_count_and_ids(
    messy: QualityReport, check: str, count: int, examples: tuple[str, ...]
) -> None:
    finding = only(messy, check)
    assert (finding.count, finding.examples) == (count, examples)
    assert finding.points > 0
    assert finding.advice.endswith(".")


def test_a_quarantined_row_is_counted_with_its_reason_and_the_way_back(messy: QualityReport) -> None:
    finding = only(messy, "validity.quarantined")
    assert "1 of 9 rows broke the contract: status is not one of open, won, lost (1)" in finding.what
    assert "salience quarantine" in finding.advice
    assert {table.table: table.quarantined for table in messy.tables}["opportunities"] == 1


def test_references_to_an_empty_table_are_not_called_broken_but_not_looked_up(messy: QualityReport) -> None:
    absent = ("contacts", "products", "reps", "territories")
    assert messy.not_assessed == tuple(
        f"References to {table} were not looked up: that table holds no rows." for table in absent
    )
    assert {finding.column for finding in findings(messy, "consistency.reference")} == {"lead_id"}


def test_rows_known_later_than_the_report_are_left_out_and_said(tmp_path: Path) -> None:
    territories = [row("territories", "T-1"), row("territories", "T-2", day=1, known=9)]
    warehouse = warehouse_of(tmp_path, territories=territories, leads=[row("leads", "L-1", day=7)])
    report = assess_quality(warehouse, as_of=at(5))
    assert (report.tables[0].rows, report.tables[0].not_yet_known) == (1, 1)
    assert only(report, "times.beyond_report").severity == "note"
    assert "leads was left out: all its rows became known only after 2025-01-11 09:00 UTC." in report.not_assessed


def test_a_table_that_fell_silent_is_stale_by_its_own_usual_gap(tmp_path: Path) -> None:
    daily = [row("transactions", f"X-{day}", day=day, amount_usd=100.0 + day) for day in range(30)]
    warehouse = warehouse_of(tmp_path, transactions=daily)
    assert not findings(assess_quality(warehouse, as_of=at(31)), "timeliness.stale")
    report = assess_quality(warehouse, as_of=at(29 + 2 + 4))
    # Two days are allowed, ten are worthless: four days over cost half of the fresh half.
    assert report.tables[0].dimensions["timeliness"] == pytest.approx(75)
    assert "Nothing new for 6.0 days" in only(report, "timeliness.stale").what


def test_tables_that_may_rest_are_not_called_stale(tmp_path: Path) -> None:
    daily = [row("territories", f"T-{day}", day=day) for day in range(30)]
    assert not findings(assess_quality(warehouse_of(tmp_path, territories=daily), as_of=NOW), "timeliness.stale")


def test_lag_and_late_share_are_those_of_the_rows(tmp_path: Path) -> None:
    rows = [row("territories", f"T-{lag}", known=lag) for lag in (0, 1, 2, 8)]
    times = assess_quality(warehouse_of(tmp_path, territories=rows), as_of=NOW).tables[0].timeliness
    assert (times.lag_median_hours, times.late_share) == (36.0, 0.25)
    assert times.lag_p95_hours == pytest.approx(24 * (2 + 0.85 * 6))
    assert times.usual_gap_days is None
