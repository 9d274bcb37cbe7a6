"""Probes over a stranger's frame: each planted leak is named by the probe meant for it, honest fields are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import ContractError, InputError, NotFoundError, TooLittleDataError
from training.probes import ProbeReport, probe_frame
from training.probes.meaning import late_meaning
from training.probes.reading import label_of, read_frame

ROWS = 4_000
GENERATOR = np.random.default_rng(11)
LABEL = (GENERATOR.random(ROWS) < 0.2).astype(float)
ORDER = list(range(ROWS))
HONEST: dict[str, Any] = {
    "visits": GENERATOR.normal(size=ROWS) + 0.8 * LABEL,
    "origin": list(GENERATOR.choice(["web", "mail", "fair"], ROWS)),
    "city": [None if GENERATOR.random() < 0.3 else "Bonn" for _ in range(ROWS)],
}


def probes_of(report: ProbeReport, field: str) -> set[str]:
    return {finding.probe for finding in report.findings if finding.feature == field}


def look(**columns: Any) -> ProbeReport:
    return probe_frame(HONEST | columns, LABEL, order=ORDER)


def test_honest_fields_of_use_raise_no_finding() -> None:
    assert look().findings == ()


def test_a_field_that_ranks_better_than_any_honest_one_is_certain() -> None:
    report = look(final_price=np.where(LABEL == 1, GENERATOR.uniform(1, 9, ROWS), 0.0))
    assert report.named == {"final_price"}
    assert [f.severity for f in report.findings if f.probe == "single_field"] == ["certain"]


def test_a_field_filled_for_winners_alone_is_certain_however_few_they_are() -> None:
    seller = [f"S{row}" if LABEL[row] and GENERATOR.random() < 0.15 else None for row in range(ROWS)]
    report = look(seller=seller)
    assert [(f.feature, f.severity, f.probe) for f in report.findings] == [("seller", "certain", "presence")]


def test_a_field_that_no_winner_lacks_is_likely() -> None:
    handled = [None if not LABEL[row] and GENERATOR.random() < 0.5 else "x" for row in range(ROWS)]
    report = look(handled=handled)
    assert [(f.feature, f.severity, f.probe) for f in report.findings] == [("handled", "likely", "presence")]


def test_a_range_in_which_nobody_wins_is_named_with_its_counts() -> None:
    seconds = np.where(LABEL == 1, GENERATOR.uniform(60, 600, ROWS), GENERATOR.uniform(0, 600, ROWS))
    seconds = np.where((LABEL == 0) & (GENERATOR.random(ROWS) < 0.3), GENERATOR.uniform(0, 60, ROWS), seconds)
    finding = next(f for f in look(seconds=seconds).findings if f.feature == "seconds")
    assert finding.probe == "deciding_value"
    assert finding.severity == "likely"
    assert "has the outcome in 0 of" in finding.evidence
    assert finding.high is not None
    assert finding.high < 1 / 20


def test_a_name_that_speaks_of_the_end_counts_only_where_the_field_tells_something() -> None:
    telling = ["a" if y == (GENERATOR.random() < 0.7) else "b" for y in LABEL]
    report = look(last_touch=telling, last_colour=list(GENERATOR.choice(["red", "blue"], ROWS)))
    assert probes_of(report, "last_touch") == {"meaning"}
    assert probes_of(report, "last_colour") == set()


def test_a_source_that_says_a_field_is_known_early_is_believed_about_its_name() -> None:
    telling = ["a" if y == (GENERATOR.random() < 0.7) else "b" for y in LABEL]
    report = probe_frame({"last_touch": telling}, LABEL, known_early=["last_touch"])
    assert report.findings == ()


def test_a_field_filled_in_batches_is_named_if_it_tells_something() -> None:
    tool = np.where(np.arange(ROWS) // 800 % 2 == 0, GENERATOR.normal(size=ROWS) + LABEL, np.nan)
    noise = np.where(np.isnan(tool), np.nan, GENERATOR.normal(size=ROWS))
    report = look(tool=tool, noise=noise)
    assert probes_of(report, "tool") == {"fill_switch"}
    assert probes_of(report, "noise") == set()


def test_computed_features_may_be_empty_at_first() -> None:
    warm_up = np.where(np.arange(ROWS) < 800, np.nan, GENERATOR.normal(size=ROWS) + LABEL)
    assert probe_frame({"rate": warm_up}, LABEL, order=ORDER, has_load_marks=False).findings == ()


def test_ids_given_out_by_outcome_are_named() -> None:
    place = np.argsort(np.argsort(1 - LABEL + GENERATOR.random(ROWS) / 2, kind="stable"))
    ids = [f"L-{rank:06d}" for rank in place]
    assert "single_field" in probes_of(probe_frame({"id": ids}, LABEL, identifier="id"), "id")


def test_loads_that_were_each_sorted_by_outcome_are_named_and_honest_ids_are_not() -> None:
    ids = [f"L-{row:06d}" for row in range(ROWS)]
    by_load = np.concatenate([np.sort(part) for part in np.split(LABEL, ROWS // 50)])
    assert probes_of(probe_frame({"id": ids}, by_load, identifier="id"), "id") == {"row_order"}
    assert probe_frame({"id": ids}, LABEL, identifier="id").findings == ()


def test_ids_of_another_shape_for_winners_are_named() -> None:
    shaped = [f"{'W' if LABEL[row] else 'LEAD'}-{row:05d}" for row in range(ROWS)]
    assert "presence" not in probes_of(probe_frame({"id": shaped}, LABEL, identifier="id"), "id")
    assert "single_field" in probes_of(probe_frame({"id": shaped}, LABEL, identifier="id"), "id")


def test_a_drifting_outcome_rate_is_no_mark_of_a_load() -> None:
    drifting = (GENERATOR.random(ROWS) < np.linspace(0.05, 0.6, ROWS)).astype(float)
    assert probe_frame({"id": ORDER}, drifting, order=ORDER, identifier="id").findings == ()


def test_copies_of_training_rows_among_the_test_rows_are_named() -> None:
    late = int(0.7 * ROWS)
    exact = np.round(GENERATOR.normal(size=(ROWS, 3)), 4)
    label = LABEL.copy()
    copied = np.arange(late, ROWS)
    exact[copied], label[copied] = exact[: len(copied)], LABEL[: len(copied)]
    columns = {f"field{place}": exact[:, place] for place in range(3)}
    report = probe_frame(columns, label, order=ORDER)
    assert [f.probe for f in report.findings] == ["twins"]
    assert "1200 of 1200 test rows (100.0 %)" in report.findings[0].evidence


def test_rows_of_few_values_that_agree_by_coincidence_are_no_copies() -> None:
    columns = {f"field{place}": list(GENERATOR.choice(list("abcdefghijkl"), ROWS)) for place in range(3)}
    assert probe_frame(columns, LABEL, order=ORDER).findings == ()


def test_constants_empty_fields_and_batch_loads_are_noted_without_alarm() -> None:
    days = ["2021-01-05"] * 1_000 + [f"2022-{1 + row % 12:02d}-{1 + row % 27:02d}" for row in range(ROWS - 1_000)]
    report = probe_frame({"same": ["No"] * ROWS, "empty": ["Select"] * ROWS, "day": days}, LABEL, order=days)
    assert report.findings == ()
    text = " | ".join(report.notes)
    assert "Empty: empty" in text
    assert "The same in every row: same" in text
    assert "1,000 rows (25 %) have the order 2021-01-05: a batch load" in text


def test_rows_without_a_known_outcome_are_left_out() -> None:
    label = np.where(np.arange(ROWS) % 2 == 0, LABEL, np.nan)
    report = probe_frame(HONEST, label)
    assert (report.rows, report.outcomes) == (2_000, int(LABEL[::2].sum()))


def test_row_and_column_order_do_not_change_what_is_found() -> None:
    columns = HONEST | {"close_value": np.where(LABEL == 1, 5.0, 0.0)}
    mixed = GENERATOR.permutation(ROWS)
    turned = {name: [columns[name][row] for row in mixed] for name in reversed(columns)}
    one = probe_frame(columns, LABEL, order=ORDER)
    other = probe_frame(turned, LABEL[mixed], order=[ORDER[row] for row in mixed])
    assert one.named == other.named == {"close_value"}


def test_too_few_outcomes_and_unequal_columns_are_refused() -> None:
    with pytest.raises(TooLittleDataError, match=r"at least 20 of each. Got: 3 with the outcome, 97 without"):
        probe_frame({"x": [1] * 100}, np.array([1.0] * 3 + [0.0] * 97))
    with pytest.raises(ContractError, match="different lengths"):
        probe_frame({"x": [1] * 99}, np.zeros(100))


@pytest.mark.parametrize(
    "name", ["Last Notable Activity", "LeadScore", "StageName", "lost_reason", "OwnerEmployeeId", "close_value"]
)
def test_names_that_speak_of_later_are_understood(name: str) -> None:
    assert late_meaning(name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "What is your current occupation",
        "previous_outcome",
        "poutcome",
        "landing_page_id",
        "Country",
        "classification",
        "LastName",
    ],
)
def test_names_that_speak_of_the_beginning_are_left_in_peace(name: str) -> None:
    assert late_meaning(name) is None


def test_an_outcome_is_told_from_yes_and_no_and_otherwise_must_be_named() -> None:
    assert label_of(["yes", "no", "", "yes"], name="y")[[0, 1, 3]].tolist() == [1.0, 0.0, 1.0]
    with pytest.raises(InputError, match=r"cannot be told. Got: values Won, Lost, Open"):
        label_of(["Won", "Lost", "Open"], name="stage")
    label = label_of(["Won", "Lost", "Open"], name="stage", positive="Won", negatives=["Lost"])
    assert label[:2].tolist() == [1.0, 0.0]
    assert np.isnan(label[2])
    assert label_of(["7", None, ""], name="deal", positive="filled").tolist() == [1.0, 0.0, 0.0]
    with pytest.raises(InputError, match=r"No row of 'stage' says Gewonnen"):
        label_of(["Won", "Lost"], name="stage", positive="Gewonnen")


def test_a_file_is_read_whole_with_its_own_separator(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("id;y;Note\n1;yes;ünder\n2;no;\n")
    assert read_frame(path) == {"id": ["1", "2"], "y": ["yes", "no"], "Note": ["ünder", ""]}
    with pytest.raises(NotFoundError, match="There is no file"):
        read_frame(tmp_path / "none.csv")
