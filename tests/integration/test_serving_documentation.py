"""The client's example in docs/api.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import SmallWorld

from serving.client import Client
from serving.run import running_service

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_clients_example_runs(small_world: SmallWorld, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    with running_service(
        small_world.settings, small_world.workspace, port=47_500, timeout_s=120, is_ready="/ready"
    ) as url:
        exec(compile(example.replace("http://127.0.0.1:3000", url), str(DOCS), "exec"), {})  # noqa: S102 - our own page
        said = capsys.readouterr().out.splitlines()
        assert said[0].split()[0] == small_world.workspace.model_name("lead")
        assert len(said) == 6
        assert said[-1].startswith("404 check the id")
        ids, scored = tmp_path / "ids.csv", tmp_path / "scores.parquet"
        with Client(url) as client:
            known = [deal.opportunity_id for deal in client.deals_at_risk(limit=3).deals]
            ids.write_text("\n".join(["opportunity_id", *known, "nobody"]) + "\n")
            job = client.score_file(ids, scored, task="deal")
            alone = [client.score_deal(identifier).win_probability for identifier in known]
            many = [row.win_probability for row in client.score_deals(known)]
            assert client.override_deal(known[0], 0.5, justification="for the sake of it").win_probability == 0.5
            assert client.override_deal(known[0], None, justification="it is over now").override is None
            assert client.health().status == "healthy"
    import pyarrow.parquet as pq

    assert (job["rows"], job["not_found"]) == (4, 1)
    assert pq.read_table(scored)["win_probability"].to_pylist() == alone == many
