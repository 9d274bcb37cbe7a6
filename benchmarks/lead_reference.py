"""The reference of ../shared/data/README.md fitted again, row by row, so that ours can be compared with it in pairs.

An untuned LightGBM (its defaults, one seed) on the honest raw columns of a public set, by the published split. Two
models that answer the same rows share the luck of those rows: whether one ranks worse "beyond noise" is told by the
interval of their difference over rows drawn again, not by the interval of one beside the other's figure.

It meets the published AUC of marketstar (.537), xedu (.877) and bank (.658) to the third place; for olist it reaches
.680, where .641 is published without the columns it came from: ours is held against the better one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.evaluation import auc, draw_weights
from training.results import Metric

_WRITTEN_LATER = (
    *("Tags", "Lead Quality", "Lead Profile", "Last Activity", "Last Notable Activity"),
    *(f"Asymmetrique {what}" for what in ("Activity Index", "Profile Index", "Activity Score", "Profile Score")),
)
_REPLICATES = 500


@dataclass(frozen=True)
class Reference:
    """The reference's answers on the test rows.

    Args:
        probability: By the lead's id.
        label: By the lead's id.
        auc: Its AUC, to be held beside the published one.
    """

    probability: Mapping[str, float]
    label: Mapping[str, int]
    auc: float


@dataclass(frozen=True)
class _Rows:
    ids: NDArray[Any]
    values: pd.DataFrame
    label: NDArray[np.bool_]
    is_test: NDArray[np.bool_]


def fit_reference(name: str, folder: Path) -> Reference:
    """Fit the reference of a set.

    Args:
        name: `olist`, `marketstar`, `xedu` or `bank`.
        folder: Where its files are.
    """
    import lightgbm

    rows = {"olist": _olist, "marketstar": _marketstar, "xedu": _xedu, "bank": _bank}[name](folder)
    model = lightgbm.LGBMClassifier(n_jobs=1, verbose=-1).fit(rows.values[~rows.is_test], rows.label[~rows.is_test])
    probability = model.predict_proba(rows.values[rows.is_test])[:, 1]
    ids, label = rows.ids[rows.is_test].tolist(), rows.label[rows.is_test].astype(np.int64)
    return Reference(
        dict(zip(ids, probability.tolist(), strict=True)),
        dict(zip(ids, label.tolist(), strict=True)),
        float(auc(label.astype(np.float64), probability, np.ones((len(label), 1)))[0]),
    )


def auc_difference(reference: Reference, ids: NDArray[Any], probability: NDArray[np.float64], *, seed: int) -> Metric:
    """Our AUC less the reference's on the rows that both answered, with its 95 % interval over rows drawn again.

    Args:
        reference: The reference.
        ids: Lead of each of our rows.
        probability: Our answer per row.
        seed: Of the draws.
    """
    rows = [row for row, lead in enumerate(ids.tolist()) if lead in reference.probability]
    if len(rows) < len(ids) // 2:
        raise SystemExit(f"Only {len(rows)} of our {len(ids)} rows are the reference's: the ids do not fit")
    asked = ids[rows]
    label = np.array([reference.label[lead] for lead in asked], dtype=np.float64)
    theirs = np.array([reference.probability[lead] for lead in asked])
    everything = np.ones((len(rows), 1))
    drawn = draw_weights(asked, replicates=_REPLICATES, seed=seed)
    differences = auc(label, probability[rows], drawn) - auc(label, theirs, drawn)
    whole = auc(label, probability[rows], everything) - auc(label, theirs, everything)
    low, high = np.quantile(differences, [0.025, 0.975])
    return Metric(float(whole[0]), float(low), float(high))


def _marketstar(folder: Path) -> _Rows:
    leads = pd.read_csv(folder / "Leads.csv.gz")
    deals = pd.read_csv(folder / "Opportunities.csv").iloc[:, :2].set_axis(["deal", "opened"], axis=1)
    created = pd.to_datetime(leads["CreatedDate"].astype(str), format="%Y%m%d")
    opened = leads["ConvertedOpportunityId"].map(deals.set_index("deal")["opened"])
    days = (pd.to_datetime(opened, format="%m/%d/%Y") - created).dt.days
    kept = created <= created.max() - pd.Timedelta(days=90)
    values = leads[["Title", "Industry", "Employees", "TimeZone", "LeadSource"]]
    return _rows(leads["LeadId"], values, days.between(0, 90), created >= "2022-03-01", kept)


def _olist(folder: Path) -> _Rows:
    leads = pd.read_csv(folder / "olist_marketing_qualified_leads_dataset.csv", parse_dates=["first_contact_date"])
    won = pd.read_csv(folder / "olist_closed_deals_dataset.csv", parse_dates=["won_date"]).set_index("mql_id")
    days = (leads["mql_id"].map(won["won_date"]) - leads["first_contact_date"]).dt.total_seconds() / 86_400.0
    values = leads[["landing_page_id", "origin"]]
    late = leads["first_contact_date"] >= "2018-04-01"
    return _rows(leads["mql_id"], values, days.between(0.0, 60.0), late, late | True)


def _xedu(folder: Path) -> _Rows:
    leads = pd.read_csv(folder / "Leads.csv.gz", na_values=["Select"]).sort_values("Lead Number", ignore_index=True)
    values = leads.drop(columns=["Prospect ID", "Lead Number", "Converted", *_WRITTEN_LATER])
    return _last_share(leads["Lead Number"], values, leads["Converted"] == 1, share=0.3)


def _bank(folder: Path) -> _Rows:
    calls = pd.read_csv(folder / "bank-additional-full.csv.gz", sep=";")
    name = pd.Series([f"call {position}" for position in range(1, len(calls) + 1)])
    return _last_share(name, calls.drop(columns=["duration", "y"]), calls["y"] == "yes", share=0.2)


def _last_share(ids: pd.Series, values: pd.DataFrame, label: pd.Series, *, share: float) -> _Rows:
    place = pd.Series(np.arange(len(ids)))
    return _rows(ids, values, label, place >= round(len(ids) * (1.0 - share)), place >= 0)


def _rows(ids: pd.Series, values: pd.DataFrame, label: pd.Series, is_test: pd.Series, kept: pd.Series) -> _Rows:
    # LightGBM takes no brackets or colons in a name.
    chosen = values[kept].set_axis([f"c{place}" for place in range(values.shape[1])], axis=1)
    for column in chosen.select_dtypes(exclude="number"):
        chosen[column] = chosen[column].astype("category")
    return _Rows(ids[kept].astype(str).to_numpy(), chosen, label[kept].to_numpy(), is_test[kept].to_numpy())
