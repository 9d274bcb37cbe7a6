"""The log of decisions: a changed, dropped or cut line shows, a killed writer harms nothing, and it knows who ruled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ContractError
from training.promotion_log import BY_HAND, NOT_MOVED, ROLLBACK, Decision, PromotionLog, Seal, reigns


def decision(version: str, *, promoted: bool = True, kind: str = "gate", name: str = "w-lead") -> Decision:
    return Decision(name=name, version=version, promoted=promoted, reason="because", kind=kind, who="ops", at="2026")


@pytest.fixture
def log(tmp_path: Path) -> PromotionLog:
    return PromotionLog(tmp_path / "promotions.jsonl")


def test_a_log_cut_short_shows_by_the_seal(log: PromotionLog) -> None:
    seals = {"w-lead": [log.append(decision(version)) for version in ("1", "2", "3")][-1]}
    assert [entry["version"] for entry in log.checked(seals)] == ["1", "2", "3"]
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join(lines[:2]) + "\n")
    assert len(log.entries()) == 2
    with pytest.raises(ContractError, match=r"was cut short or replaced.*decisions about w-lead.*Got: 2 lines"):
        log.checked(seals)
    log.path.unlink()
    with pytest.raises(ContractError, match=r"Got: 0 lines"):
        log.checked(seals)


def test_a_log_written_anew_shows_by_the_seal(log: PromotionLog, tmp_path: Path) -> None:
    seal = log.append(decision("1"))
    forged = PromotionLog(tmp_path / "forged.jsonl")
    forged.append(decision("7"))
    log.path.write_bytes(forged.path.read_bytes())
    assert len(log.entries()) == 1
    with pytest.raises(ContractError, match="was cut short or replaced"):
        log.checked({"w-lead": seal})


def test_a_line_that_a_killed_process_left_half_written_is_none(log: PromotionLog) -> None:
    log.append(decision("1"))
    with log.path.open("a") as file:
        file.write('{"sequence": 2, "name": "w-')
    assert [entry["version"] for entry in log.entries()] == ["1"]
    seal = log.append(decision("2"))
    assert [entry["version"] for entry in log.checked({"w-lead": seal})] == ["1", "2"]


def test_lines_that_an_earlier_product_wrote_are_still_whole(log: PromotionLog) -> None:
    log.append(decision("1"))
    entry = json.loads(log.path.read_text())
    assert {"kind", "checks"} <= set(entry)
    # Without the newer fields, hashed as they were then.
    import hashlib

    body = {name: value for name, value in entry.items() if name not in ("kind", "checks", "hash")}
    old = {**body, "hash": hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()}
    log.path.write_text(json.dumps(old) + "\n")
    log.append(decision("2"))
    assert [each["version"] for each in log.entries()] == ["1", "2"]
    assert reigns(log.entries(), "w-lead") == ["1", "2"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_changed_character_shows(data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        log = PromotionLog(Path(folder) / "log.jsonl")
        seal = [log.append(decision(str(version))) for version in range(1, 4)][-1]
        text = log.path.read_text()
        place = data.draw(st.integers(0, len(text) - 1))
        other = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: c != text[place]))
        log.path.write_text(text[:place] + other + text[place + 1 :])
        with pytest.raises(ContractError):
            log.checked({"w-lead": seal})


def test_the_log_knows_who_ruled() -> None:
    def told(*decisions: tuple[str, bool, str]) -> list[str]:
        entries = [
            {"name": "m", "version": version, "promoted": promoted, "kind": kind}
            for version, promoted, kind in decisions
        ]
        return reigns([*entries, {"name": "other", "version": "9", "promoted": True}], "m")

    assert told() == []
    assert told(("1", True, "gate"), ("2", False, "gate"), ("3", True, BY_HAND)) == ["1", "3"]
    assert told(("1", True, "gate"), ("2", True, "gate"), ("2", False, NOT_MOVED)) == ["1"]
    three = (("1", True, "gate"), ("2", True, "gate"), ("3", True, "gate"))
    assert told(*three, ("2", True, ROLLBACK)) == ["1", "2"]
    assert told(*three, ("2", True, ROLLBACK), ("1", True, ROLLBACK)) == ["1"]
    assert told(*three, ("2", True, ROLLBACK), ("2", False, NOT_MOVED)) == ["1", "2", "3"]
    assert told(*three, ("2", True, ROLLBACK), ("4", True, "gate")) == ["1", "2", "4"]


def test_a_seal_names_the_line(log: PromotionLog) -> None:
    first, second = log.append(decision("1")), log.append(decision("2"))
    entries = log.entries()
    assert [first, second] == [Seal(entry["sequence"], entry["hash"]) for entry in entries]
