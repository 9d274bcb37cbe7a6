"""The waterfall: every change has a name, and the parts are the difference to the cent."""

from __future__ import annotations

from datetime import date

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from training.forecast.waterfall import STEPS, Side, Step
from training.forecast.waterfall import explain_change as explain

JUNE, JULY = pd.Timestamp("2026-06-20"), pd.Timestamp("2026-07-10")


def explain_change(before: Side, after: Side, *, first_day: date = date(2026, 4, 1)) -> list[Step]:
    return explain(before, after, first_day=first_day)


def deals(**known: tuple[str, str, float, pd.Timestamp]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(known, orient="index", columns=["status", "stage", "amount_usd", "close_date"])


def side(open_: dict[str, int], known: pd.DataFrame, *, booked: dict[str, int] | None = None, **more: int) -> Side:
    booked = booked or {}
    expected = sum(open_.values()) + sum(booked.values()) + more.get("new", 0) + more.get("renewal", 0)
    return Side(
        expected=expected + more.pop("rounding", 0),
        new=more.get("new", 0),
        renewal=more.get("renewal", 0),
        open=open_,
        booked=booked,
        deals=known,
        owned=frozenset(known.index),
    )


def by_name(steps: list[Step]) -> dict[str, int]:
    return {step.name: step.cents for step in steps}


BEFORE = deals(
    a=("open", "Proposal", 100.0, JUNE),
    b=("open", "Proposal", 100.0, JUNE),
    c=("open", "Proposal", 100.0, JUNE),
    d=("open", "Proposal", 100.0, JUNE),
    e=("open", "Discovery", 100.0, JUNE),
)


def test_each_kind_of_change_has_its_step() -> None:
    after = deals(
        a=("won", "Closed Won", 110.0, JUNE),
        b=("lost", "Closed Lost", 100.0, JUNE),
        c=("open", "Proposal", 100.0, JULY),
        d=("open", "Proposal", 150.0, JUNE),
        e=("open", "Proposal", 100.0, JUNE),
        f=("open", "Discovery", 70.0, JUNE),
    )
    steps = explain_change(
        side(dict.fromkeys("abcde", 5_000), BEFORE, new=9_000, renewal=2_000),
        side({"c": 1_000, "d": 7_700, "e": 6_000, "f": 700}, after, booked={"a": 11_000, "": 1_500}, new=8_000),
    )
    assert by_name(steps) == {
        "won": 6_000,
        "lost": -5_000,
        "slipped": -4_000,
        "amount changed": 2_500,
        "stage moved": 1_000,
        "new deals": 700,
        "renewals and other bookings": -500,
        "business not yet created": -1_000,
        "model or rates": 200,
    }
    assert steps[0].top == (("a", 6_000, "110 booked in the period, 50 was expected"),)
    assert [step.name for step in steps] == [name for name in STEPS if name in by_name(steps)]


def test_a_deal_that_closes_earlier_is_pulled_in() -> None:
    after = deals(a=("open", "Proposal", 100.0, pd.Timestamp("2026-05-01")))
    steps = explain_change(side({"a": 5_000}, BEFORE), side({"a": 8_000}, after))
    assert by_name(steps) == {"pulled in": 3_000}
    assert steps[0].top[0][2] == "closes 2026-06-20 → 2026-05-01"


def test_a_deal_that_was_to_close_before_the_period_slips_into_it() -> None:
    after = deals(a=("open", "Proposal", 100.0, JULY))
    steps = explain_change(side({"a": 5_000}, BEFORE), side({"a": 8_000}, after), first_day=date(2026, 7, 1))
    assert by_name(steps) == {"slipped in": 3_000}


def test_a_deal_that_changes_hands_is_told_as_that_on_both_sides() -> None:
    known = deals(a=("open", "Proposal", 100.0, JUNE))
    with_it, without = side({"a": 5_000}, known), side({}, known)
    without = Side(**{**without.__dict__, "owned": frozenset()})
    assert by_name(explain_change(with_it, without)) == {"handed over": -5_000}
    assert by_name(explain_change(without, with_it)) == {"handed over": 5_000}


def test_what_no_deal_accounts_for_is_the_models() -> None:
    known = deals(a=("open", "Proposal", 100.0, JUNE))
    steps = explain_change(side({"a": 5_000}, known), side({"a": 5_000}, known, rounding=-3))
    assert by_name(steps) == {"model or rates": -3}


def test_without_a_change_there_is_no_step() -> None:
    known = deals(a=("open", "Proposal", 100.0, JUNE))
    assert by_name(explain_change(side({"a": 5_000}, known), side({"a": 5_000}, known))) == {}


STATES = st.tuples(
    st.sampled_from(["open", "won", "lost"]),
    st.sampled_from(["Proposal", "Discovery"]),
    st.sampled_from([0.0, 50.0, 120.0, float("nan")]),
    st.sampled_from([JUNE, JULY, pd.NaT]),
)
SIDES = st.fixed_dictionaries(
    {
        "known": st.dictionaries(st.sampled_from("abcdefgh"), STATES, min_size=1),
        "cents": st.lists(st.integers(0, 10**12), min_size=8, max_size=8),
        "booked": st.dictionaries(st.sampled_from(["", *"abcdefgh"]), st.integers(-(10**9), 10**12)),
        "new": st.integers(0, 10**12),
        "renewal": st.integers(0, 10**12),
        "rounding": st.integers(-50, 50),
    }
)


def drawn(made: dict) -> Side:
    known = deals(**made["known"])
    names = [name for name in known.index if known.loc[name, "status"] == "open"]
    opened = dict(zip(names, made["cents"], strict=False))
    more = {name: made[name] for name in ("new", "renewal", "rounding")}
    return side(opened, known, booked=made["booked"], **more)


@given(before=SIDES, after=SIDES)
@settings(max_examples=120, deadline=None)
def test_the_parts_are_the_difference_to_the_cent_whatever_happened(before: dict, after: dict) -> None:
    first, second = drawn(before), drawn(after)
    steps = explain_change(first, second)
    assert sum(step.cents for step in steps) == second.expected - first.expected
