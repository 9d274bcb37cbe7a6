"""What monitoring is measured on: public sets with a change in them, and simulated worlds in a warehouse."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
BANK_CHANGE = datetime(2009, 3, 1, tzinfo=UTC)
OLIST_CHANGE = datetime(2018, 1, 1, tzinfo=UTC)
# A lead of olist counts as won within so many days of its first contact.
OLIST_DAYS = 60


def bank_frame() -> tuple[pd.DataFrame, np.ndarray]:
    """Bank's calls in their order, days by the months they are in; without `duration`."""
    frame = pd.read_csv(DATA / "bank_additional" / "bank-additional-full.csv.gz", sep=";")
    number = frame["month"].map({name: place for place, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))})  # fmt: skip
    year = 2008 + (number.diff() < 0).cumsum()
    month = pd.to_datetime({"year": year, "month": number + 1, "day": 1}, utc=True)
    place = frame.groupby(month, sort=False).cumcount() / frame.groupby(month, sort=False)["age"].transform("size")
    as_of = month + pd.to_timedelta(place * 30, unit="D")
    label = (frame["y"] == "yes").to_numpy(dtype=float)
    inputs = frame.drop(columns=["y", "duration", "month", "day_of_week"])
    return inputs.assign(as_of=as_of.to_numpy()).assign(as_of=lambda f: pd.to_datetime(f["as_of"], utc=True)), label


def olist_frame() -> pd.DataFrame:
    leads = pd.read_csv(next((DATA / "olist").glob("*qualified_leads*")))
    deals = pd.read_csv(next((DATA / "olist").glob("*closed_deals*")))
    frame = leads.merge(deals[["mql_id", "won_date"]], on="mql_id", how="left")
    as_of = pd.to_datetime(frame["first_contact_date"], utc=True)
    won = (pd.to_datetime(frame["won_date"], utc=True) - as_of).dt.days.le(OLIST_DAYS)
    return pd.DataFrame({"origin": frame["origin"], "landing": frame["landing_page_id"].str[:4],
                         "outcome": np.where(won, "yes", "no"), "as_of": as_of})  # fmt: skip


@contextmanager
def simulated_warehouse(config: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Feature repository, warehouse and workspace of a simulated world, until the end of the block."""
    from common.settings import Settings
    from common.workspace import Workspace
    from features.repository import FeatureRepository
    from warehouse.ingest import ingest
    from warehouse.simulator import simulate
    from warehouse.sources import load_source
    from warehouse.store import Warehouse

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        workspace = Workspace.of(settings, "simulated")
        simulate(config, landing=workspace.landing, truth=workspace.truth)
        warehouse = Warehouse(workspace.warehouse)
        ingest(load_source("simulated"), workspace.landing, warehouse)
        repository = FeatureRepository(workspace, warehouse, settings.online_store)
        repository.apply()
        yield repository, warehouse, workspace
