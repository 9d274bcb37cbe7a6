"""Going back is recommended only where the version before does better on the newest labels, surely."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from common.errors import ContractError, NotFoundError
from monitoring import predecessor
from monitoring.predecessor import beside_predecessor, champion_before

END = datetime(2025, 6, 2, tzinfo=UTC)
BEFORE: Any = SimpleNamespace(version="3")


def material(*, days: int = 60, a_day: int = 20, odds: float = 0.2) -> Any:
    """Rows of so many days before the end; the champion answers 0.4, and `odds` come true."""
    random = np.random.default_rng(3)
    count = days * a_day
    as_of = np.datetime64(END.replace(tzinfo=None), "us") - np.sort(random.integers(0, days, count))[::-1].astype(
        "timedelta64[D]"
    )
    return SimpleNamespace(
        as_of=as_of,
        entity=np.arange(count).astype(str).astype(object),
        label=(random.random(count) < odds).astype(float),
        probability=np.full(count, 0.4),
        recent=pa.table({"row": np.arange(count)}),
        columns=lambda table: {"row": table["row"].to_numpy()},
        scorer=SimpleNamespace(manifest=SimpleNamespace(horizon_days=90)),
    )


def answering(monkeypatch: pytest.MonkeyPatch, answer: float, *, learned_until: datetime) -> None:
    manifest = SimpleNamespace(trained_until=learned_until.isoformat())
    monkeypatch.setattr(
        predecessor,
        "answers_of",
        lambda _, holdout: SimpleNamespace(
            probability=np.full(len(holdout.label), answer), scorer=SimpleNamespace(manifest=manifest)
        ),
    )


@pytest.mark.parametrize(("answer", "is_better"), [(0.2, True), (0.4, False), (0.6, False)])
def test_the_version_before_is_held_to_the_same_rows(
    monkeypatch: pytest.MonkeyPatch, answer: float, is_better: bool
) -> None:
    answering(monkeypatch, answer, learned_until=END - timedelta(days=400))
    found = beside_predecessor(material(), BEFORE, seed=1)
    assert found is not None
    assert (found["version"], found["is_better"]) == ("3", is_better)
    assert found["rows"] == 1_200
    assert np.sign(found["difference"]) == {0.2: -1, 0.4: 0, 0.6: 1}[answer]


def test_a_little_better_is_not_surely_better(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 0.39, learned_until=END - timedelta(days=400))
    few = material(a_day=2)
    few.label = (np.arange(120) % 8 < 3).astype(float)
    found = beside_predecessor(few, BEFORE, seed=1)
    assert found is not None
    assert found["difference"] < 0 < found["at_most"]
    assert not found["is_better"]


def test_only_rows_new_to_both_and_of_the_newest_quarter_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 0.2, learned_until=END - timedelta(days=400))
    long = material(days=300)
    found = beside_predecessor(long, BEFORE, seed=1)
    assert found is not None
    assert found["rows"] == int((long.as_of > long.as_of.max() - np.timedelta64(91, "D")).sum())
    answering(monkeypatch, 0.2, learned_until=END - timedelta(days=30))
    short, moment = material(), np.datetime64((END - timedelta(days=30)).replace(tzinfo=None), "us")
    found = beside_predecessor(short, BEFORE, seed=1)
    assert found is not None
    assert 0 < found["rows"] == int((short.as_of > moment).sum()) < 1_200


def test_what_cannot_be_asked_or_has_no_outcomes_is_no_reason_to_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, 0.2, learned_until=END - timedelta(days=400))
    assert beside_predecessor(material(odds=0.0), BEFORE, seed=1) is None
    unknown = material()
    unknown.label[:] = np.nan
    assert beside_predecessor(unknown, BEFORE, seed=1) is None

    def broken(*_: Any) -> None:
        raise ContractError("Version 3 cannot be asked")

    monkeypatch.setattr(predecessor, "answers_of", broken)
    assert beside_predecessor(material(), BEFORE, seed=1) is None


@pytest.mark.parametrize(
    ("ruled", "before"), [(["2", "3", "4"], "3"), (["3", "4", "4"], "3"), (["4"], None), ([], None), (["9", "4"], None)]
)
def test_the_version_before_is_the_one_that_a_rollback_puts_in_place(
    monkeypatch: pytest.MonkeyPatch, ruled: list[str], before: str | None
) -> None:
    monkeypatch.setattr(predecessor, "promotion_log", lambda _: SimpleNamespace(entries=list))
    monkeypatch.setattr(predecessor, "reigns", lambda *_: list(ruled))

    def version(name: str, number: str) -> Any:
        if number == "9":
            raise NotFoundError("There is no version 9")
        return SimpleNamespace(version=number)

    champion: Any = SimpleNamespace(name="demo-lead", version="4")
    found = champion_before(SimpleNamespace(version=version), champion)  # type: ignore[arg-type]
    assert (found and found.version) == before
