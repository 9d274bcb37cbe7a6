"""Renewals: contracts that come up again after a fixed term, if the source's transactions show such a term."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.forecast.drift import Level, neutral_level, track_counts
from training.forecast.metrics import FloatArray

_LEAST_PAIRS = 20
_PRIOR_PAIRS = 20.0
_TRACKED_MONTHS = 24
_CONTRACT_KINDS = ("booking", "expansion", "renewal")


@dataclass(frozen=True)
class Renewals:
    """What was learned about renewals, and the contracts that may come up.

    Args:
        term_months: Months from a contract to its renewal; 0 where the source shows none.
        rate: Share of contracts that were renewed.
        rate_by_kind: The same by the contract's kind: one that is a renewal itself is more likely to be renewed again.
        ratio: Amounts of renewals over the amounts of what they renewed.
        due: Contracts not renewed yet: `due_month` (number of the month), `rep_id`, `amount_usd`, `chance`.
        level: Money renewed over what was expected, as tracked over the months.
    """

    term_months: int
    rate: float
    rate_by_kind: dict[str, float]
    ratio: FloatArray
    due: pd.DataFrame
    level: Level


def learn_renewals(transactions: pd.DataFrame, *, month: int) -> Renewals:
    """Find the term, the rate and the open contracts in the transactions known at a moment.

    Args:
        transactions: Money as known at the moment.
        month: Number of the moment's month; months before it are over.
    """
    rows = transactions[transactions["kind"].isin(_CONTRACT_KINDS) & transactions["account_id"].notna()].copy()
    rows["month"] = rows["event_timestamp"].dt.year * 12 + rows["event_timestamp"].dt.month - 1
    rows["line"] = rows["account_id"].astype(str) + "|" + rows["product_id"].astype(str)
    term = _term(rows)
    if term == 0:
        nothing = pd.DataFrame({"due_month": [], "rep_id": [], "amount_usd": [], "chance": [], "transaction_id": []})
        return Renewals(
            term_months=0, rate=0.0, rate_by_kind={}, ratio=np.ones(1), due=nothing, level=neutral_level(0.01)
        )
    renewed = _renewed_by(rows, term)
    rows["ratio"] = renewed / rows["amount_usd"]
    over = rows["month"] + term < month
    matched = rows["ratio"].notna()
    rate = float((matched & over).sum() / max(int(over.sum()), 1))
    by_kind = (matched & over).groupby(rows["kind"]).sum() + _PRIOR_PAIRS * rate
    by_kind = by_kind / (over.groupby(rows["kind"]).sum() + _PRIOR_PAIRS)
    rows["chance"] = rows["kind"].map(by_kind)
    due = rows[~over & ~matched].assign(due_month=lambda r: r["month"] + term)
    return Renewals(
        term_months=term,
        rate=rate,
        rate_by_kind={str(kind): float(value) for kind, value in by_kind.items()},
        ratio=rows.loc[matched, "ratio"].to_numpy(dtype=np.float64),
        due=due[["due_month", "rep_id", "amount_usd", "chance", "transaction_id"]].sort_values("transaction_id"),
        level=_track(rows[over], matched[over], term),
    )


def _track(over: pd.DataFrame, matched: pd.Series, term: int) -> Level:
    """Renewals of the last two years by month against what was expected."""
    due = over["month"] + term
    recent = due >= due.max() - _TRACKED_MONTHS
    happened = matched[recent].groupby(due[recent]).sum()
    hoped = over.loc[recent, "chance"].groupby(due[recent]).sum()
    return track_counts(happened.to_numpy(dtype=np.float64), hoped.to_numpy(dtype=np.float64))


def _term(rows: pd.DataFrame) -> int:
    """The commonest distance in months from a contract to a renewal of the same account and product."""
    renewals = rows[rows["kind"] == "renewal"]
    pairs = renewals[["line", "month"]].merge(rows[["line", "month"]], on="line", suffixes=("", "_before"))
    lags = pairs["month"] - pairs["month_before"]
    counted = Counter(lags[lags > 0].tolist())
    if not counted:
        return 0
    term, n = max(counted.items(), key=lambda item: (item[1], -item[0]))
    return int(term) if n >= _LEAST_PAIRS else 0


def _renewed_by(rows: pd.DataFrame, term: int) -> pd.Series:
    """Amount of the renewal one term after each contract, NaN without one; each renewal is used once."""
    renewals: dict[tuple[str, int], list[float]] = {}
    for line, month, amount in rows.loc[rows["kind"] == "renewal", ["line", "month", "amount_usd"]].itertuples(
        index=False
    ):
        renewals.setdefault((line, month), []).append(amount)
    found = np.full(len(rows), np.nan)
    keys = list(zip(rows["line"], rows["month"] + term, strict=True))
    amounts = rows["amount_usd"].to_numpy(dtype=np.float64)
    for place, key in enumerate(keys):
        offered = renewals.get(key)
        if offered:
            nearest = int(np.argmin(np.abs(np.array(offered) - amounts[place]))) if len(offered) > 1 else 0
            found[place] = offered.pop(nearest)
    return pd.Series(found, index=rows.index, dtype=np.float64)
