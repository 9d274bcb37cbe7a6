"""A file of ids is scored whole, in chunks that survive a killed process, and said to be done only when it is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from serving_stand_ins import Features, Stand, stand

from common.errors import UnavailableError
from common.logged_predictions import fixed_schema, segments
from common.workspace import Workspace
from serving import job_runner
from serving.job_runner import work_off
from serving.jobs import JobStore

PARQUET = "application/vnd.apache.parquet"
CSV = "text/csv"


class Stopped(BaseException):
    """The process was killed here."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    served = stand(tmp_path)
    # The process is called in the test, not started.
    monkeypatch.setattr(served.app.state.jobs, "start", lambda: None)
    monkeypatch.setattr(job_runner, "CHUNK_ROWS", 2)
    return served


def submit(served: Stand, content: bytes, kind: str, task: str = "lead") -> dict[str, Any]:
    response = served.client.post(f"/api/v1/jobs?task={task}", content=content, headers={"Content-Type": kind})
    assert response.status_code == 202, response.text
    job: dict[str, Any] = response.json()
    return job


def work(served: Stand, tmp_path: Path) -> None:
    work_off(served.app.state.jobs.store, served.engine, Workspace("toy", tmp_path))


def result(served: Stand, job: dict[str, Any], form: str = "parquet") -> pa.Table:
    response = served.client.get(f"/api/v1/jobs/{job['job_id']}/result?format={form}")
    assert response.status_code == 200, response.text
    body = io.BytesIO(response.content)
    return pq.read_table(body) if form == "parquet" else pc.read_csv(body)


def as_parquet(ids: list[str | None], column: str = "lead_id") -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({column: pa.array(ids, pa.string())}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"name,lead_id\nx,a\ny,nobody\nz,b\nv,c\nw,a\n", CSV), (as_parquet(["a", "nobody", "b", "c", "a"]), PARQUET)],
)
def test_a_file_is_scored_as_single_requests_are(served: Stand, tmp_path: Path, content: bytes, kind: str) -> None:
    job = submit(served, content, kind)
    assert (job["status"], job["progress"]) == ("waiting", None)
    work(served, tmp_path)
    state = served.client.get(f"/api/v1/jobs/{job['job_id']}").json()
    told = {name: state[name] for name in ("status", "progress", "rows", "rows_done", "not_found", "problem")}
    assert told == {"status": "done", "progress": 1.0, "rows": 5, "rows_done": 5, "not_found": 1, "problem": None}
    for form in ("parquet", "csv"):
        rows = result(served, job, form).to_pylist()
        assert [row["lead_id"] for row in rows] == ["a", "b", "c", "a"]
        for row in rows:
            alone = served.client.post(f"/api/v1/leads/{row['lead_id']}/score").json()
            assert row["conversion_probability"] == alone["conversion_probability"]
            assert row["grade"] == alone["grade"]
    logged = [row for path in segments(Workspace("toy", tmp_path), "lead") for row in pq.read_table(path).to_pylist()]
    assert [(row["entity_id"], row["kind"], row["request_id"]) for row in logged] == [
        (identifier, "job", job["job_id"]) for identifier in ("a", "b", "c", "a")
    ]
    schema = pq.read_schema(next(segments(Workspace("toy", tmp_path), "lead")))
    assert all(schema.field(field.name).type == field.type for field in fixed_schema())


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"name\nx\n", CSV, "no column 'lead_id'"),
        (b"lead_id,x\na,1,2\n", CSV, "no csv that can be read"),
        (b"not parquet", PARQUET, "no parquet that can be read"),
        (as_parquet(["a", None]), PARQUET, "rows have no 'lead_id'"),
        (as_parquet(["a"], "opportunity_id"), PARQUET, "no column 'lead_id'"),
    ],
)
def test_a_file_that_cannot_be_scored_fails_and_says_why(
    served: Stand, tmp_path: Path, content: bytes, kind: str, words: str
) -> None:
    job = submit(served, content, kind)
    work(served, tmp_path)
    state = served.client.get(f"/api/v1/jobs/{job['job_id']}").json()
    assert state["status"] == "failed"
    assert words in state["problem"]
    answer = served.client.get(f"/api/v1/jobs/{job['job_id']}/result")
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


def test_a_file_of_no_rows_or_no_known_ids_is_done(served: Stand, tmp_path: Path) -> None:
    empty, unknown = submit(served, as_parquet([]), PARQUET), submit(served, b"lead_id\nx\ny\nz\n", CSV)
    work(served, tmp_path)
    for job, rows in ((empty, 0), (unknown, 3)):
        state = served.client.get(f"/api/v1/jobs/{job['job_id']}").json()
        assert (state["status"], state["rows"], state["not_found"]) == ("done", rows, rows)
        assert result(served, job).num_rows == 0


@pytest.mark.parametrize(("content", "kind"), [(b"", CSV), (b"lead_id\na\n", "application/pdf")])
def test_what_is_no_file_is_refused_at_once(served: Stand, content: bytes, kind: str) -> None:
    response = served.client.post("/api/v1/jobs?task=lead", content=content, headers={"Content-Type": kind})
    assert response.status_code == 422
    assert served.app.state.jobs.store.all() == []


def test_a_killed_process_goes_on_where_it_was(served: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(served, b"lead_id\na\nb\nc\na\nb\n", CSV)
    read, reads = Features.read, list[list[str]]()

    def killed(self: Features, service: str, ids: list[str], *, at: Any) -> Any:
        if len(reads) == 2:
            raise Stopped
        reads.append(ids)
        return read(self, service, ids, at=at)

    with monkeypatch.context() as patched:
        patched.setattr(Features, "read", killed)
        with pytest.raises(Stopped):
            work(served, tmp_path)
    assert served.client.get(f"/api/v1/jobs/{job['job_id']}").json()["rows_done"] == 4
    served.features.reads = 0
    work(served, tmp_path)
    assert served.features.reads == 1
    assert result(served, job)["lead_id"].to_pylist() == ["a", "b", "c", "a", "b"]
    logged = [row for path in segments(Workspace("toy", tmp_path), "lead") for row in pq.read_table(path).to_pylist()]
    assert len(logged) == 5


def test_a_cancelled_job_is_gone_and_the_next_one_is_done(served: Stand, tmp_path: Path) -> None:
    first, second = submit(served, b"lead_id\na\n", CSV), submit(served, b"lead_id\nb\n", CSV)
    assert served.client.request("DELETE", f"/api/v1/jobs/{first['job_id']}").status_code == 204
    work(served, tmp_path)
    assert served.client.get(f"/api/v1/jobs/{first['job_id']}").status_code == 404
    assert result(served, second).num_rows == 1


def test_a_result_that_is_not_there_yet_is_409_that_says_how_far(served: Stand) -> None:
    job = submit(served, b"lead_id\na\n", CSV)
    response = served.client.get(f"/api/v1/jobs/{job['job_id']}/result")
    assert response.status_code == 409
    assert "waiting" in response.json()["detail"]


@pytest.mark.parametrize("identifier", ["..", "%2e%2e", "0" * 32, "x", "..%2f..%2fetc"])
def test_an_id_from_outside_leads_nowhere(served: Stand, identifier: str) -> None:
    assert served.client.get(f"/api/v1/jobs/{identifier}").status_code == 404


def test_too_many_jobs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.jobs.MOST_WAITING", 1)
    store = JobStore(Workspace("toy", tmp_path))
    job, _ = store.begin("lead", form="csv", by="x")
    store.save(job)
    with pytest.raises(UnavailableError, match="1 jobs wait"):
        store.begin("lead", form="csv", by="x")


def test_of_two_processes_one_works(tmp_path: Path) -> None:
    store, other = JobStore(Workspace("toy", tmp_path)), JobStore(Workspace("toy", tmp_path))
    with store.turn() as mine, other.turn() as theirs:
        assert (mine, theirs) == (True, False)
    with other.turn() as theirs:
        assert theirs
