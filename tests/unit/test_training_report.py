"""The training report: its page, its JSON and its verdict."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from training_report_world import HOSTILE, inputs

from common.page_style import STYLE
from training.brier import Bin
from training.probes import Finding
from training.probes.acceptance import Acceptance
from training.reporting.assembly import assemble
from training.reporting.charts import reliability_plot
from training.reporting.contents import (
    Against,
    Answer,
    Capacity,
    Histogram,
    Leak,
    ReportContents,
    SegmentNote,
)
from training.reporting.documents import read_report, report_json, report_json_schema
from training.reporting.figures import report_metrics
from training.reporting.inputs import ReportInputs
from training.reporting.page import write_report
from training.reporting.verdict import Evidence, judge
from training.results import Metric
from training.segment_bias import BiasNote

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "training-report.schema.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return inputs(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def contents(made: ReportInputs) -> ReportContents:
    return assemble(made)


@pytest.fixture(scope="module")
def folder(contents: ReportContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_report(contents, folder / "training.html", plots=folder / "plots")
    return folder


class Tags(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "onload")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: Path) -> Tags:
    tags = Tags()
    tags.feed(page.read_text())
    return tags


def test_hostile_names_are_text_everywhere(folder: Path) -> None:
    found = read(folder / "training.html")
    assert "script" not in found.tags
    assert HOSTILE in "".join(found.text)
    for picture in (folder / "plots").glob("*.svg"):
        tree = ElementTree.fromstring(picture.read_text())  # noqa: S314 - our own file
        assert not [each for each in tree.iter() if each.tag.endswith("script")]


def test_the_page_needs_nothing_else_and_is_small(folder: Path) -> None:
    page = folder / "training.html"
    assert [each for each in read(page).addresses if not each.startswith(("#", "data:"))] == []
    assert "url(http" not in page.read_text()
    assert "width=device-width" in page.read_text()
    assert page.stat().st_size < 1_500_000


def test_the_verdict_comes_first_and_every_chapter_is_filled(folder: Path, contents: ReportContents) -> None:
    page = (folder / "training.html").read_text()
    assert page.index(contents.verdict.status.capitalize()) < page.index("<table>")
    chapters = re.findall(r'<section id="(\w+)"><h2>[^<]+</h2>(.*?)</section>', page, flags=re.S)
    assert [name for name, _ in chapters] == [
        "quality", "capacity", "replay", "reliability", "segments", "reads", "leaks", "backtest", "study", "run",
    ]  # fmt: skip
    assert all(len(text) > 20 for _, text in chapters)
    assert page.count('role="img" aria-label="') == page.count("<svg ")


def test_colours_can_be_read_on_both_pages() -> None:
    """WCAG 2.1, AA: 4.5 to 1 for text, on the page and on cards."""
    for scheme in re.findall(r":root\{([^}]+)\}", STYLE):
        colours = dict(re.findall(r"--(\w+):(#[0-9a-f]{3,6})", scheme))
        for ink in ("ink", "soft", "mark", "good", "bad", "unsure"):
            for ground in ("paper", "card"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground, colours[ink])


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    shares = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_schema_in_the_docs_is_the_codes() -> None:
    assert json.loads(SCHEMA.read_text()) == report_json_schema(), "run: make docs"


def test_the_json_follows_the_schema_and_reads_back(folder: Path, contents: ReportContents) -> None:
    text = (folder / "training.json").read_text()
    jsonschema.validate(json.loads(text), report_json_schema())
    assert report_json(read_report(text)) == text
    assert json.loads(text)["verdict"]["status"] == contents.verdict.status


def test_the_report_is_the_same_twice(made: ReportInputs, contents: ReportContents) -> None:
    assert replace(assemble(made), made_at=contents.made_at) == contents


def test_what_is_logged_are_the_reports_numbers(contents: ReportContents) -> None:
    figures = report_metrics(contents)
    table = next(each for each in contents.capacity.tables if each.share == contents.capacity.team_share)
    assert figures["capacity_found"] == table.by_order["model"].caught.value
    assert figures["log_loss_less_const_high"] == next(
        each.log_loss.high for each in contents.against if each.name == "const"
    )
    assert all(np.isfinite(value) for value in figures.values())


def test_paired_differences_are_those_of_the_figures(contents: ReportContents) -> None:
    ours, *others = contents.answers
    for answer in others:
        against = next(each for each in contents.against if each.name == answer.name)
        expected = ours.figures["log_loss"].value - answer.figures["log_loss"].value
        assert against.log_loss.value == pytest.approx(expected)
        assert against.auc.value == pytest.approx(ours.figures["auc"].value - answer.figures["auc"].value)
    losses = [next(a for a in others if a.name == each.name).figures["log_loss"].value for each in contents.against]
    assert losses == sorted(losses)


def test_shares_of_importance_add_up_and_the_sign_is_the_worlds(contents: ReportContents) -> None:
    for parts in (contents.features, contents.groups, contents.themes):
        assert sum(part.share for part in parts) == pytest.approx(1.0)
    views = next(part for part in contents.features if part.name == "count_pricing_view_30d")
    assert views is contents.features[0]
    assert views.direction == "more → likelier"
    source = next(part for part in contents.features if part.name == "lead_source")
    assert source.direction.startswith("likeliest: referral")


def test_every_test_row_stands_in_one_bin_of_each_picture(made: ReportInputs, contents: ReportContents) -> None:
    rows = len(made.partition.test)
    assert sum(each.rows for each in contents.bins) == rows
    assert sum(contents.histogram.counts) == rows
    assert sum(each.rows for each in contents.months) == rows
    assert sum(each.rows for each in contents.grades) == rows
    for shape in contents.shapes:
        assert sum(each.rows for each in shape.bins) == rows
    for figures in contents.segments.values():
        assert sum(each.rows for each in figures) == rows


def test_amounts_make_the_value_and_a_number_a_week_the_capacity(made: ReportInputs) -> None:
    settings = made.context.settings
    gate = settings.gate.model_copy(update={"capacity": 3.0})
    context = replace(made.context, settings=settings.model_copy(update={"gate": gate}))
    worth = np.full(len(made.partition.test), 250.0)
    found = assemble(replace(made, context=context, worth=worth, worth_unit="USD"))
    table = next(each for each in found.capacity.tables if each.share == found.capacity.team_share)
    ours = table.by_order["model"]
    assert ours.value.value == pytest.approx(250 * ours.caught.value)
    assert found.replay is not None
    assert found.replay.per_week == 3


def test_one_row_of_each_class_still_has_a_picture() -> None:
    bins = tuple(
        Bin(low=p, high=p, predicted=p, observed=o, observed_low=0.0, observed_high=1.0, rows=1, entities=1)
        for p, o in ((0.2, 0.0), (0.8, 1.0))
    )
    assert "<svg" in reliability_plot(bins[:1], Histogram(width=0.1, counts=(1, 0)))
    assert "<svg" in reliability_plot(bins, Histogram(width=0.1, counts=(1, 1)))


def answer(name: str, log_loss: float, auc: Metric) -> Answer:
    figures = {
        "log_loss": Metric(log_loss),
        "auc": auc,
        "outcome_rate": Metric(0.1),
        "mean_probability": Metric(0.1),
        "rows": Metric(1_000.0),
    }
    return Answer(name=name, words=name, figures=figures)


def evidence(contents: ReportContents, **changes: object) -> Evidence:
    """A model that is ready: surely better than all, calibrated, no notes, no leaks."""
    better = Metric(-0.05, -0.07, -0.03)
    plain = {
        "task": "lead",
        "answers": (answer("model", 0.30, Metric(0.76, 0.72, 0.8)), answer("const", 0.35, Metric(0.5))),
        "against": (Against(name="const", words="const", log_loss=better, auc=better),),
        "gap": Metric(0.001, -0.01, 0.012),
        "capacity": contents.capacity,
    }
    return Evidence(**(plain | changes))  # type: ignore[arg-type]


def against(value: float, low: float, high: float) -> tuple[Against, ...]:
    loss = Metric(value, low, high)
    return (Against(name="const", words="const", log_loss=loss, auc=Metric(0.0, -0.1, 0.1)),)


def test_a_good_model_is_ready_in_three_to_six_sentences(contents: ReportContents) -> None:
    verdict = judge(evidence(contents))
    assert verdict.status == "ready"
    assert 3 <= len(verdict.sentences) <= 6
    assert "72 % to 80 %" in verdict.sentences[0]


def test_an_order_that_may_be_chance_is_no_signal(contents: ReportContents) -> None:
    answers = (answer("model", 0.35, Metric(0.51, 0.48, 0.55)), answer("const", 0.35, Metric(0.5)))
    verdict = judge(evidence(contents, answers=answers, against=against(0.0, -0.01, 0.01)))
    assert verdict.status == "no signal found"
    assert "tossing a coin" in verdict.sentences[0]
    assert verdict.actions[0].startswith("Do not work by this score")


def test_better_percentages_in_an_order_of_chance_are_not_ready(contents: ReportContents) -> None:
    answers = (answer("model", 0.30, Metric(0.51, 0.49, 0.52)), answer("const", 0.35, Metric(0.5)))
    verdict = judge(evidence(contents, answers=answers, against=against(-0.05, -0.06, -0.04)))
    assert verdict.status == "not ready"
    assert "its order tells nothing" in verdict.actions[0]


def test_an_order_that_is_surely_backwards_is_not_ready_and_said_to_be_so(contents: ReportContents) -> None:
    answers = (answer("model", 0.4, Metric(0.44, 0.42, 0.46)), answer("const", 0.35, Metric(0.5)))
    verdict = judge(evidence(contents, answers=answers, against=against(0.05, 0.03, 0.07)))
    assert verdict.status == "not ready"
    assert "the wrong way round" in verdict.sentences[0]
    assert verdict.actions[0].startswith("Do not work by this score")


def test_probabilities_surely_worse_than_the_base_rate_are_not_ready(contents: ReportContents) -> None:
    verdict = judge(evidence(contents, against=against(0.02, 0.01, 0.03)))
    assert verdict.status == "not ready"
    assert "surely worse than always answering the base rate" in verdict.sentences[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gap": Metric(0.05, 0.03, 0.07)}, "beyond noise"),
        ({"against": against(-0.001, -0.01, 0.01)}, "better, but not surely"),
        ({"cautions": ("The history is short.",)}, "The history is short."),
    ],
)
def test_whatever_is_doubtful_asks_for_care(contents: ReportContents, changes: dict[str, object], said: str) -> None:
    verdict = judge(evidence(contents, **changes))
    assert verdict.status == "usable with care"
    assert said in " ".join(verdict.sentences)


def test_a_segment_served_worse_asks_for_care_and_is_named(contents: ReportContents) -> None:
    note = BiasNote(kind="source", segment="web", problem="ranks worse", ours=0.5, rest=0.7, z=-5.0, p=1e-6)
    verdict = judge(evidence(contents, notes=(SegmentNote(note=note, sentence="…"),)))
    assert verdict.status == "usable with care"
    assert any("web (source)" in sentence for sentence in verdict.sentences)


def test_an_accepted_leak_is_shown_with_who_and_why_and_asks_for_nothing(made: ReportInputs, tmp_path: Path) -> None:
    finding = Finding(feature="lead_source", severity="likely", evidence="It ranks alone with AUC 0.93")
    word = Acceptance(feature="lead_source", who="Ada", when="2025-02-01T08:00:00+00:00", why="set at first contact")
    developed = replace(made.developed, findings=(finding,))
    context = replace(made.context, accepted={"lead_source": word})
    accepted = assemble(replace(made, developed=developed, context=context, warnings=()))
    assert "may know the outcome" not in " ".join(accepted.verdict.sentences)
    doubted = Leak(**(asdict(accepted.leaks[0]) | {"accepted_by": None}))
    assert "lead_source may know the outcome" in " ".join(judge(evidence(accepted, leaks=(doubted,))).sentences)
    page = write_report(accepted, tmp_path / "training.html").read_text()
    assert "Accepted by Ada on 2025-02-01: set at first contact" in page


def test_a_certain_leak_that_nobody_accepted_is_not_ready(contents: ReportContents) -> None:
    leak = Leak(
        feature="close_value", severity="certain", probe="single_field", evidence="AUC 1.000", advice="drop it",
        accepted_by=None, accepted_at=None, accepted_why=None,
    )  # fmt: skip
    assert judge(evidence(contents, leaks=(leak,))).status == "not ready"


def test_honest_fields_that_outdo_a_model_left_behind_are_not_called_leaks(contents: ReportContents) -> None:
    leak = Leak(
        feature="created_month", severity="likely", probe="over_model", evidence="AUC 0.638", advice="look",
        accepted_by=None, accepted_at=None, accepted_why=None,
    )  # fmt: skip
    verdict = judge(evidence(contents, leaks=(leak,)))
    assert verdict.status == "usable with care"
    said = " ".join(verdict.sentences)
    assert "created_month alone ranks the later rows better than the whole model" in said
    assert "may know the outcome" not in said


def test_few_outcomes_are_said(contents: ReportContents) -> None:
    few: Capacity = replace(contents.capacity, outcomes=40)
    verdict = judge(evidence(contents, capacity=few))
    assert any("Only 40 of the leads" in sentence for sentence in verdict.sentences)
