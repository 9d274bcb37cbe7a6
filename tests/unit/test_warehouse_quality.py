"""The quality report as a whole: its score, verdict, trend, JSON and page."""

from __future__ import annotations

import html
import json
import logging
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from quality_world import NOW, at, only, row, warehouse_of

from common.errors import InputError
from warehouse.contracts import CONTRACTS
from warehouse.quality import QualityReport, assess_quality, earlier_reports, quality_json_schema, write_quality
from warehouse.quality.documents import report_document
from warehouse.quality.page import render_page
from warehouse.quality.weights import FEATURE_COLUMNS, RIGHTLY_EMPTY, how_scored
from warehouse.store import Warehouse

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> QualityReport:
    warehouse = warehouse_of(
        tmp_path_factory.mktemp("flawed"),
        territories=[row("territories", f"T-{n}", region="EMEA" if n < 2 else None) for n in range(4)],
        leads=[row("leads", "L-1", status="nonsense"), row("leads", "L-<script>", day=-1, email="é@x.example")],
        opportunities=[row("opportunities", "D-1", status="lost", day=-1), row("opportunities", "D-2")],
    )
    return assess_quality(warehouse, as_of=NOW)


def test_an_empty_warehouse_has_no_score_and_says_what_to_do(tmp_path: Path) -> None:
    report = assess_quality(Warehouse(tmp_path / "none"), as_of=NOW)
    assert (report.score, report.grade, report.tables, report.trend) == (None, "empty", (), ())
    assert "holds no rows yet. Load a source first: `salience ingest`." in report.verdict
    page = write_quality(report, tmp_path / "reports").read_text(encoding="utf-8")
    assert "Nothing to assess" in page


def test_one_right_row_is_good_and_nothing_needs_mending(tmp_path: Path) -> None:
    report = assess_quality(warehouse_of(tmp_path, territories=[row("territories", "T-1")]), as_of=at(1))
    assert (report.score, report.verdict) == (100, "Good: 100 of 100. Nothing found that needs mending.")


def test_columns_that_are_all_empty_do_not_break_anything(tmp_path: Path) -> None:
    empty = {"company_name": None, "email": None}
    report = assess_quality(warehouse_of(tmp_path, leads=[row("leads", "L-1", **empty)]), as_of=NOW)
    fills = {column.name: (column.fill, column.counted) for column in report.tables[0].columns}
    assert fills["email"] == (0.0, "used by features")
    assert fills["company_name"] == (0.0, "not supplied by the source")
    assert fills["account_id"] == (0.0, "known only at the outcome")
    assert only(report, "completeness.not_supplied").what.startswith("source, landing_page, industry, employee_count")
    write_quality(report, tmp_path / "reports")


def test_one_wrong_row_of_a_tiny_table_is_no_catastrophe(tmp_path: Path) -> None:
    rows = [row("territories", f"T-{n}") for n in range(7)] + [row("territories", "T-late", day=1, known=0)]
    report = assess_quality(warehouse_of(tmp_path, territories=rows), as_of=NOW)
    # One of 8 counts as one of 100: half of the 2 % at which consistency is worth nothing.
    assert report.tables[0].dimensions["consistency"] == pytest.approx(50)


def test_completeness_is_the_weighted_mean_fill(flawed: QualityReport) -> None:
    territories = next(table for table in flawed.tables if table.table == "territories")
    # Key required (3) and full, name (1) full, region (1) half full.
    assert territories.dimensions["completeness"] == pytest.approx(100 * (3 + 1 + 0.5) / 5)


def test_the_points_of_the_findings_add_up_to_what_the_score_lost(tmp_path: Path) -> None:
    rows = [row("territories", f"T-{n}", known=8 if n == 0 else 0) for n in range(8)]
    rows += [row("territories", f"U-{n}", day=1, known=0) for n in range(2)]
    report = assess_quality(warehouse_of(tmp_path, territories=rows), as_of=NOW)
    assert report.score is not None
    assert sum(finding.points for finding in report.findings) == pytest.approx(100 - report.score, abs=0.01)
    # A fifth of all rows in the future is worth nothing at all: the whole of consistency, 20 of 100.
    assert only(report, "times.future").points == pytest.approx(20)


def test_the_verdict_names_the_costliest_findings_first(flawed: QualityReport) -> None:
    assert re.match(r"(Good|Fair|Poor|Bad): \d+ of 100\. Three things to mend first: ", flawed.verdict)
    points = [finding.points for finding in flawed.findings]
    assert points == sorted(points, reverse=True)
    assert flawed.findings[0].what in flawed.verdict


def test_the_moment_needs_a_time_zone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no time zone"):
        assess_quality(Warehouse(tmp_path), as_of=NOW.replace(tzinfo=None))


def test_same_content_gives_the_same_report_whatever_the_order_of_rows(tmp_path: Path) -> None:
    rows = [row("leads", f"L-{n}", email=f"a{n % 3}@x.example") for n in range(9)]
    one, other = (assess_quality(warehouse_of(tmp_path / name, leads=r), as_of=NOW) for name, r in
                  (("one", rows), ("other", rows[::-1])))  # fmt: skip
    assert render_page(one, data="x.json") == render_page(other, data="x.json")


def test_progress_is_told_of_every_step(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    warehouse = warehouse_of(tmp_path, territories=[row("territories", "T-1")])
    assess_quality(warehouse, as_of=NOW, progress=lambda *step: told.append(step))
    assert told == [("assessing territories", 0, 3), ("comparing tables", 1, 3), ("searching duplicates", 2, 3)]


def test_the_trend_takes_earlier_reports_of_the_same_method_in_order(flawed: QualityReport, tmp_path: Path) -> None:
    def earlier(days: int, **more: object) -> QualityReport:
        return replace(flawed, as_of=NOW - timedelta(days=days), **more)  # type: ignore[arg-type]

    previous = [earlier(1, score=50.0), report_document(earlier(9, score=40.0)), earlier(5, method=0), earlier(-3)]
    warehouse = warehouse_of(tmp_path, territories=[row("territories", "T-1")])
    report = assess_quality(warehouse, as_of=NOW, previous=previous)
    assert [point.score for point in report.trend] == [40.0, 50.0, report.score]
    assert "up" in render_page(report, data="x.json").lower()


def test_written_reports_are_read_back_for_the_trend_and_other_files_passed_over(
    flawed: QualityReport, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = write_quality(flawed, tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "quality-20250602T000000Z.html",
        "quality-20250602T000000Z.json",
    ]
    assert page.suffix == ".html"
    (tmp_path / "quality-broken.json").write_text("{}", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        (read,) = earlier_reports(tmp_path)
    assert read == report_document(flawed)
    assert "quality-broken.json is no quality report" in caplog.text


def test_the_json_keeps_its_documented_schema(flawed: QualityReport) -> None:
    schema = json.loads((ROOT / "docs" / "quality.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    document = json.loads(json.dumps(report_document(flawed), allow_nan=False))
    jsonschema.validate(document, schema, format_checker=jsonschema.FormatChecker())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"score": "high"}, schema)


def test_the_documented_schema_is_current_and_says_what_every_field_means() -> None:
    made = quality_json_schema()
    kept = json.loads((ROOT / "docs" / "quality.schema.json").read_text(encoding="utf-8"))
    assert kept == made, "run: python -m warehouse.quality docs/quality.schema.json"
    for part in (made, *made["$defs"].values()):
        assert all(field.get("description") for field in part["properties"].values())


def test_the_page_is_one_file_that_escapes_what_comes_from_data(flawed: QualityReport) -> None:
    page = render_page(flawed, data="quality.json")
    hosts = set(re.findall(r"https?://[\w.]+", page))
    assert hosts <= {"http://www.w3.org"}, "only the names of XML dialects"
    assert "L-<script>" not in page
    assert "L-&lt;script&gt;" in page
    assert page.index("mend first") < page.index("How the score is made")
    assert all(html.escape(sentence) in page for sentence in how_scored())


def test_weights_name_columns_that_exist_and_that_features_read() -> None:
    for named in (FEATURE_COLUMNS, RIGHTLY_EMPTY):
        for table, columns in named.items():
            assert columns <= {column.name for column in CONTRACTS[table].columns}
    views = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "features" / "transformations").glob("*.py"))
    unread = [name for columns in FEATURE_COLUMNS.values() for name in columns if not re.search(rf"\b{name}\b", views)]
    assert not unread
