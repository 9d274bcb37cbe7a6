"""The parameters' page: every group says where its numbers come from."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from warehouse.contracts import LEAD_EVENT_KINDS
from warehouse.simulator import parameters as p

TEXT = Path(p.__file__).read_text(encoding="utf-8")
GROUPS = dict(re.findall(r"^# --- (.+?) -+\n((?:#.*\n)*)", TEXT, flags=re.MULTILINE))


def test_the_groups_are_those_of_the_page() -> None:
    assert len(GROUPS) == 9
    assert next(iter(GROUPS)) == "Time"


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_says_whether_it_is_measured_published_or_assumed(group: str) -> None:
    source = " ".join(GROUPS[group].replace("#", " ").split())
    assert source.startswith("Source: ")
    assert re.search("measured|published|our assumption|as CRMs ship", source)
    assert ("published" not in source and "publish" not in source) or "https://" in source


@pytest.mark.parametrize(
    "shares",
    [
        p.REGION_SHARE,
        p.COMPETITOR_SHARE,
        p.REP_HABITS,
        p.NEXT_STEP_KINDS,
        p.MIGRATED_STAGES,
        p.LEAD_START,
        [row[1] for row in p.INDUSTRIES],
        [row[1] for row in p.SOURCES],
        [row[1] for row in p.LANDING_PAGES],
        [row[1] for row in p.TITLES],
    ],
)
def test_shares_add_up_to_one(shares: list[float]) -> None:
    assert np.sum(shares) == pytest.approx(1)


def test_the_mixes_have_a_column_per_kind_and_sessions_hold_no_mails() -> None:
    assert p.LEAD_EVENT_MIX.shape == (len(p.LEAD_STATES), len(LEAD_EVENT_KINDS))
    mails = [LEAD_EVENT_KINDS.index(kind) for kind in ("email_open", "email_click", "email_reply")]
    assert p.LEAD_EVENT_MIX[:, mails].sum() == 0


@pytest.mark.parametrize(
    "chances",
    [p.NEWSLETTER_OPENED, p.LETTER_OPENED, p.MAIL_CLICKED, p.LEAD_REPLY, p.LEAD_REACHED, p.REPLY, p.SLIP, p.CONCESSION],
)
def test_chances_lie_between_0_and_1_and_rise_with_interest_or_haste(chances: list[float]) -> None:
    assert np.min(chances) > 0
    assert np.max(chances) < 1
    assert (np.diff(chances) > 0).all()
