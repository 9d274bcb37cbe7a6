"""Nothing that was answered is missing from the prediction log, whatever happens to the process or the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serving_stand_ins import FEATURES, Stand, stand

from common.logged_predictions import fixed_schema, segments
from common.workspace import Workspace
from serving.log_segments import SPOOL_SUFFIX, left_spools, turn_into_segment
from serving.prediction_log import PredictionLog
from serving.segment_runner import make_segments
from serving.spool import Spool, is_orphan


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace("toy", tmp_path / "home")


@pytest.fixture
def log(workspace: Workspace) -> Iterator[PredictionLog]:
    log = PredictionLog(workspace)
    yield log
    log.stop()


@pytest.fixture
def served(tmp_path: Path, log: PredictionLog) -> Stand:
    served = stand(tmp_path)
    served.engine.log = log
    return served


def logged(workspace: Workspace, task: str = "lead") -> list[dict[str, Any]]:
    return [row for path in segments(workspace, task) for row in pq.read_table(path).to_pylist()]


def test_every_answer_is_in_the_log_with_what_was_read_and_why(
    served: Stand, log: PredictionLog, workspace: Workspace
) -> None:
    answers = {
        "r-1": served.client.post("/api/v1/leads/a/score", headers={"x-request-id": "r-1"}).json(),
        "r-2": served.client.post("/api/v1/leads/a/score", headers={"x-request-id": "r-2"}).json(),
        "r-3": served.client.post("/api/v1/leads/c/score", headers={"x-request-id": "r-3"}).json(),
    }
    served.client.post("/api/v1/leads/nobody/score")
    log.roll(everything=True)
    rows = {row["request_id"]: row for row in logged(workspace)}
    assert set(rows) == set(answers)
    for name, answer in answers.items():
        row = rows[name]
        assert row["probability"] == answer["conversion_probability"]
        assert (row["model_name"], row["model_version"], row["alias"]) == ("toy-lead", "1", "champion")
        assert row["scored_at"].isoformat().replace("+00:00", "Z") == answer["scored_at"]
        assert row["is_cached"] == answer["is_cached"]
        factors = [*answer["scoring_factors"]["for"], *answer["scoring_factors"]["against"]]
        assert [each["feature"] for each in row["reasons"]] == [each["feature"] for each in factors]
        assert row["latency_ms"] > 0
    assert rows["r-1"]["features"] == dict(zip(FEATURES, (2.0, 0.1), strict=True))
    assert rows["r-3"]["features"] == dict(zip(FEATURES, (None, 0.2), strict=True))
    assert rows["r-3"]["expired"] == [FEATURES[0]]


def test_payloads_and_batches_are_logged_by_their_kind(served: Stand, log: PredictionLog, workspace: Workspace) -> None:
    served.client.post("/api/v1/leads/new/score", json={"lead": {"lead_created_at": "2025-01-01T00:00:00Z"}})
    served.client.post("/api/v1/leads/scores/batch", json={"ids": ["a", "b", "nobody"]})
    served.client.post("/api/v1/deals/a/score")
    log.roll(everything=True)
    assert sorted((row["entity_id"], row["kind"]) for row in logged(workspace)) == [
        ("a", "batch"),
        ("b", "batch"),
        ("new", "payload"),
    ]
    assert [row["task"] for row in logged(workspace, "deal")] == ["deal"]


def test_segments_have_the_columns_that_monitoring_reads(
    served: Stand, log: PredictionLog, workspace: Workspace
) -> None:
    served.client.post("/api/v1/leads/a/score")
    log.roll(everything=True)
    schema = pq.read_schema(next(segments(workspace, "lead")))
    for field in fixed_schema():
        assert schema.field(field.name).type == field.type, field.name


def test_an_answer_is_in_a_file_before_it_is_given(served: Stand, log: PredictionLog) -> None:
    served.client.post("/api/v1/leads/a/score", headers={"x-request-id": "seen"})
    (spool,) = log.spool_folder.glob(f"*{SPOOL_SUFFIX}")
    assert b'"seen"' in spool.read_bytes()


def test_a_full_disk_makes_predictions_wait_and_loses_none(
    served: Stand, log: PredictionLog, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.client.post("/api/v1/leads/a/score", headers={"x-request-id": "before"})

    def full(_file: int, _line: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("serving.spool.os.write", full)
        for number in range(3):
            assert (
                served.client.post("/api/v1/leads/a/score", headers={"x-request-id": f"w-{number}"}).status_code == 200
            )
        log.flush()
        assert log.waiting == 3
        health = served.client.get("/health")
        assert health.status_code == 503
        assert "No space left on device; 3 wait in memory, 0 were given up" in health.json()["detail"]
    log.flush()
    assert (log.waiting, log.lost, log.problem) == (0, 0, None)
    assert served.client.get("/health").status_code == 200
    log.roll(everything=True)
    assert sorted(row["request_id"] for row in logged(workspace)) == ["before", "w-0", "w-1", "w-2"]


def test_a_line_that_was_written_in_part_is_not_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool.jsonl", header=b"{}\n")
    write = os.write
    monkeypatch.setattr("serving.spool.os.write", lambda file, line: write(file, line[:5]))
    with pytest.raises(OSError, match="No space left"):
        spool.append(b'{"a": 1}\n')
    monkeypatch.undo()
    spool.append(b'{"b": 2}\n')
    spool.close()
    assert (tmp_path / "spool.jsonl").read_bytes() == b'{}\n{"b": 2}\n'


def test_what_waits_is_bounded_and_the_loss_is_said(
    served: Stand, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = served.engine.log = PredictionLog(workspace, most_waiting=2)

    def full(_file: int, _line: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("serving.spool.os.write", full)
    for _ in range(5):
        served.client.post("/api/v1/leads/a/score")
    assert (log.waiting, log.lost) == (2, 3)


def test_segmenting_again_gives_the_same_file(served: Stand, log: PredictionLog, workspace: Workspace) -> None:
    served.client.post("/api/v1/leads/a/score")
    (spool,) = log.spool_folder.glob(f"*{SPOOL_SUFFIX}")
    content = spool.read_bytes()
    log.roll(everything=True)
    before = logged(workspace)
    spool.write_bytes(content + b'{"request_id": "torn", "entity_')
    turn_into_segment(spool, log.folder)
    assert logged(workspace) == before
    assert not spool.exists()


def test_a_spool_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "x.jsonl", header=b"{}\n")
    assert not is_orphan(spool.path)
    spool.close()
    assert is_orphan(spool.path)
    assert not is_orphan(tmp_path / "gone.jsonl")


def test_nobody_sees_a_spool_before_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    lock, seen = fcntl.flock, []
    monkeypatch.setattr("serving.spool.fcntl.flock", lambda *given: (seen.extend(left_spools(tmp_path)), lock(*given)))
    spool = Spool(tmp_path / f"x{SPOOL_SUFFIX}", header=b"{}\n")
    assert seen == []
    assert list(tmp_path.iterdir()) == [spool.path]
    spool.close()


def test_another_process_makes_the_segments_and_it_is_said_where_none_does(
    tmp_path: Path, workspace: Workspace
) -> None:
    served = stand(tmp_path)
    log = served.engine.log = PredictionLog(workspace, segments_here=False, roll_seconds=0.0)
    served.client.post("/api/v1/leads/a/score")
    (spool,) = log.spool_folder.glob(f"*{SPOOL_SUFFIX}")
    log.roll()
    assert (logged(workspace), log.problem) == ([], None)
    two_minutes_ago = time.time() - 120
    os.utime(spool, (two_minutes_ago, two_minutes_ago))
    log._segments_from = 0.0
    log.roll()
    assert log.problem == "1 spools of the prediction log are not made into segments"
    assert served.client.get("/health").status_code == 503
    stop = threading.Event()
    thread = threading.Thread(target=make_segments, args=(log.folder, stop))
    thread.start()
    while spool.exists():
        stop.wait(0.01)
    stop.set()
    thread.join()
    assert len(logged(workspace)) == 1
    log._segments_from = 0.0
    log.roll()
    assert log.problem is None
    log.stop()


def test_a_segment_that_cannot_be_written_is_tried_again(
    served: Stand, log: PredictionLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    served.client.post("/api/v1/leads/a/score")
    for spool in log._spools.values():
        spool.close()
    log._spools.clear()
    tries: list[Path] = []

    def full(spool: Path, folder: Path) -> None:
        tries.append(spool)
        if len(tries) < 3:
            raise OSError(28, "No space left on device")
        turn_into_segment(spool, folder)
        stop.set()

    stop = threading.Event()
    monkeypatch.setattr("serving.segment_runner.EVERY_SECONDS", 0.0)
    monkeypatch.setattr("serving.segment_runner.turn_into_segment", full)
    make_segments(log.folder, stop)
    assert len(tries) == 3
    assert not tries[0].exists()
    assert sum("Segments cannot be written" in record.message for record in caplog.records) == 1


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from serving_stand_ins import stand
from common.workspace import Workspace
from serving.prediction_log import PredictionLog
served = stand(Path(sys.argv[1]))
served.engine.log = PredictionLog(Workspace("toy", Path(sys.argv[2])))
number = 0
while True:
    name = f"k-{number}"
    assert served.client.post("/api/v1/leads/a/score", headers={"x-request-id": name}).status_code == 200
    print(name, flush=True)
    number += 1
"""


def test_what_a_killed_process_answered_is_found_by_the_next(tmp_path: Path, workspace: Workspace) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "w"), str(workspace.home), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline().strip() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        answered += process.stdout.read().split()
    log = PredictionLog(workspace)
    until = time.monotonic() + 10
    while list(log.spool_folder.glob(f"*{SPOOL_SUFFIX}")) and time.monotonic() < until:
        log.roll()
    names = [row["request_id"] for row in logged(workspace)]
    assert len(names) == len(set(names))
    assert set(answered) <= set(names)
    assert len(answered) >= 20


def test_types_of_features_survive(tmp_path: Path) -> None:
    from serving.log_segments import header_of
    from training.manifest import FeatureEntry

    def entry(name: str, kind: str) -> FeatureEntry:
        return FeatureEntry(name=name, dtype=kind, group="fit", about=name, unit="x", phrase="{value}")

    entries = [entry("text", "category"), entry("flag", "bool"), entry("count", "int"), entry("share", "float")]
    spool = tmp_path / "lead.1.20260101T000000.1.1.jsonl"
    line = (
        b'{"request_id":"r","entity_id":"a","alias":"champion","scored_at":1,"as_of":2,"answered_at":3,'
        b'"probability":0.5,"latency_ms":1.0,"kind":"id","is_cached":false,"is_last_known":false,"oldest_at":null,'
        b'"expired":[],"reasons":[],"features":{"text":"\xc3\xa4","flag":true,"count":3,"share":null},'
        b'"feature_timestamps":{"view":7}}\n'
    )
    spool.write_bytes(header_of("lead", "toy-lead", "1", entries, ["view"]) + line)
    path = turn_into_segment(spool, tmp_path)
    assert path is not None
    table = pq.read_table(path)
    assert table["features"].to_pylist() == [{"text": "ä", "flag": True, "count": 3.0, "share": None}]
    assert table.schema.field("feature_timestamps").type == pa.struct([("view", pa.timestamp("us", tz="UTC"))])
