"""A scenario changes the world from its moment on, and nothing before it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from warehouse.simulator import SimulationConfig, simulate
from warehouse.simulator.config import Scenario

CHANGES = [scenario for scenario in get_args(Scenario) if scenario != "steady"]
Tables = dict[str, pa.Table]


def configuration(scenario: Scenario) -> SimulationConfig:
    return SimulationConfig(years=2, reps=16, leads=3_000, deals=1_000, scenario=scenario)


CHANGE = configuration("steady").change


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tables]:
    made = {}
    for scenario in get_args(Scenario):
        folder = tmp_path_factory.mktemp(scenario)
        rows = simulate(configuration(scenario), landing=folder / "landing", truth=folder / "truth")
        made[scenario] = {table: pq.read_table(folder / "landing" / f"{table}.parquet") for table in rows}
        made[scenario]["deal_truth"] = pq.read_table(Path(folder) / "truth" / "deal_truth.parquet")
    return made


def known(table: pa.Table, *, before: bool) -> pa.Table:
    compare = pc.less if before else pc.greater_equal
    return table.filter(compare(table["created_timestamp"], pa.scalar(CHANGE, pa.timestamp("us", tz="UTC"))))


@pytest.mark.parametrize("scenario", CHANGES)
def test_every_row_known_before_the_change_is_that_of_the_steady_world(
    worlds: dict[str, Tables], scenario: str
) -> None:
    for table, steady in worlds["steady"].items():
        if table != "deal_truth":
            assert known(worlds[scenario][table], before=True).equals(known(steady, before=True)), table


@pytest.mark.parametrize("scenario", CHANGES)
def test_deals_differ_after_the_change(worlds: dict[str, Tables], scenario: str) -> None:
    after = [known(worlds[name]["opportunities"], before=False) for name in ("steady", scenario)]
    assert not after[0].equals(after[1])


def late_leads(tables: Tables) -> pa.Table:
    new = known(tables["leads"], before=False)
    return new.filter(pc.equal(new["status"], "new"))


def test_a_recession_brings_a_fifth_fewer_leads(worlds: dict[str, Tables]) -> None:
    steady, poor = (late_leads(worlds[name]).num_rows for name in ("steady", "recession"))
    assert poor / steady == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("scenario", ["new-product", "process-change"])
def test_only_a_recession_keeps_leads_away(worlds: dict[str, Tables], scenario: str) -> None:
    assert late_leads(worlds[scenario]).num_rows == late_leads(worlds["steady"]).num_rows


def test_beacon_is_sold_from_the_change_on_in_one_scenario(worlds: dict[str, Tables]) -> None:
    for name, tables in worlds.items():
        deals = tables["opportunities"]
        sold = deals.filter(pc.equal(deals["product_id"], "P-06"))
        if name == "new-product":
            opened = pc.min_max(sold["opened_at"]).as_py()
            assert opened["min"] >= CHANGE
            assert opened["min"] < CHANGE + timedelta(days=14)
        else:
            assert sold.num_rows == 0


def mean_truth_of_openings(tables: Tables) -> float:
    truth = tables["deal_truth"]
    rows = truth.filter(
        pc.and_(truth["is_opening"], pc.greater(truth["as_of"], pa.scalar(CHANGE, pa.timestamp("us", tz="UTC"))))
    )
    return float(pc.mean(rows["true_probability"]).as_py())


def test_a_recession_lowers_what_may_be_won(worlds: dict[str, Tables]) -> None:
    assert mean_truth_of_openings(worlds["recession"]) < 0.85 * mean_truth_of_openings(worlds["steady"])


def test_another_way_of_working_decides_deals_sooner(worlds: dict[str, Tables]) -> None:
    def decided(name: str) -> float:
        deals = known(worlds[name]["opportunities"], before=False)
        return pc.sum(pc.not_equal(deals["status"], "open")).as_py() / len(pc.unique(deals["opportunity_id"]))

    assert decided("process-change") > 1.02 * decided("steady")
