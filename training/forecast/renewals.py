"""Renewals: contracts that come up again after a fixed term, if the source's transactions show such a term."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.drift import Level, neutral_level, track_counts
from training.forecast.metrics import FloatArray
from training.forecast.periods import month_numbers

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


def learn_renewals(transactions: pd.DataFrame, *, month: int, wandering: FloatArray | None = None) -> Renewals:
    """Find the term, the rate and the open contracts in the transactions known at a moment.

    Args:
        transactions: Money as known at the moment.
        month: Number of the moment's month; months before it are over.
        wandering: What other levels told of wandering (`drift.told_of_wandering`).
    """
    rows = transactions[transactions["kind"].isin(_CONTRACT_KINDS) & transactions["account_id"].notna()].copy()
    rows["month"] = month_numbers(rows["event_timestamp"])
    rows["line"] = _lines(rows)
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
        due=due[["due_month", "rep_id", "amount_usd", "chance", "transaction_id"]],
        level=_track(rows[over], matched[over], term, wandering),
    )


def _lines(rows: pd.DataFrame) -> NDArray[np.int64]:
    """A number for each account and product."""
    account, product = (pd.factorize(rows[name])[0] for name in ("account_id", "product_id"))
    return np.asarray(account * (product.max(initial=0) + 2) + product + 1, dtype=np.int64)


def _track(over: pd.DataFrame, matched: pd.Series, term: int, wandering: FloatArray | None) -> Level:
    """Renewals of the last two years by month against what was expected."""
    due = over["month"] + term
    recent = due >= due.max() - _TRACKED_MONTHS
    happened = matched[recent].groupby(due[recent]).sum()
    hoped = over.loc[recent, "chance"].groupby(due[recent]).sum()
    return track_counts(happened.to_numpy(dtype=np.float64), hoped.to_numpy(dtype=np.float64), wandering=wandering)


def _term(rows: pd.DataFrame) -> int:
    """The commonest distance in months from a contract to a renewal of the same account and product."""
    renewals = rows.loc[rows["kind"] == "renewal", ["line", "month"]]
    before = rows.loc[rows["line"].isin(renewals["line"]), ["line", "month"]]
    pairs = renewals.merge(before, on="line", suffixes=("", "_before"))
    lags = (pairs["month"] - pairs["month_before"]).to_numpy(dtype=np.int64)
    counted = np.bincount(lags[lags > 0])
    if not counted.any():
        return 0
    # Of distances as common as each other the shorter.
    term = int(np.argmax(counted))
    return term if counted[term] >= _LEAST_PAIRS else 0


def _renewed_by(rows: pd.DataFrame, term: int) -> pd.Series:
    """Amount of the renewal one term after each contract, NaN without one; each renewal is used once."""
    amounts = rows["amount_usd"].to_numpy(dtype=np.float64)
    is_renewal = (rows["kind"] == "renewal").to_numpy()
    month = rows["month"].to_numpy(dtype=np.int64)
    # Line and month as one number: of the renewals, and one term after every contract.
    width = int(month.max(initial=0)) + term + 1
    own = rows["line"].to_numpy(dtype=np.int64) * width + month
    awaited = own + term
    keys, times = np.unique(own[is_renewal], return_counts=True)
    at = np.minimum(np.searchsorted(keys, awaited), len(keys) - 1)
    matched = keys[at] == awaited
    # Almost every renewal is that of one contract, which has no other.
    is_pair = matched & (times[at] == 1) & (np.bincount(at[matched], minlength=len(keys))[at] == 1)
    of_key = np.zeros(len(keys))
    of_key[np.searchsorted(keys, own[is_renewal])] = amounts[is_renewal]
    found = np.where(is_pair, of_key[at], np.nan)
    others = np.flatnonzero(matched & ~is_pair)
    renewals: dict[int, list[float]] = {}
    for place in np.flatnonzero(is_renewal & np.isin(own, awaited[others])).tolist():
        renewals.setdefault(own[place], []).append(amounts[place])
    for place in others.tolist():
        offered = renewals[awaited[place]]
        if offered:
            nearest = int(np.argmin(np.abs(np.array(offered) - amounts[place]))) if len(offered) > 1 else 0
            found[place] = offered.pop(nearest)
    return pd.Series(found, index=rows.index, dtype=np.float64)
