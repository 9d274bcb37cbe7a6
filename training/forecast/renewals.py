"""Renewals: contracts that come up again after a fixed term, if the source's transactions show such a term."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.forecast.drift import Level, neutral_level, track_counts
from training.forecast.history import known_since
from training.forecast.metrics import FloatArray
from training.forecast.periods import month_number, month_numbers, month_start, share_of_month

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
        due: Contracts not renewed yet: `due_month` (number of the month), `rep_id`, `amount_usd`, `chance` (that it is
            renewed still, as far as this month's days are over).
        level: Money renewed over what was expected, as tracked over the months.
    """

    term_months: int
    rate: float
    rate_by_kind: dict[str, float]
    ratio: FloatArray
    due: pd.DataFrame
    level: Level


def learn_renewals(transactions: pd.DataFrame, *, at: datetime, wandering: FloatArray | None = None) -> Renewals:
    """Find the term, the rate and the open contracts in the transactions known at a moment.

    Args:
        transactions: Money as known at the moment.
        at: The moment; months before its own are over.
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
    renewal, amounts, month = _renewed_by(rows, term), rows["amount_usd"].to_numpy(dtype=np.float64), month_number(at)
    matched = pd.Series(renewal >= 0, index=rows.index)
    over = rows["month"] + term < month
    rate = float((matched & over).sum() / max(int(over.sum()), 1))
    by_kind = (matched & over).groupby(rows["kind"]).sum() + _PRIOR_PAIRS * rate
    by_kind = by_kind / (over.groupby(rows["kind"]).sum() + _PRIOR_PAIRS)
    rows["chance"] = rows["kind"].map(by_kind)
    due = rows[~over & ~matched].assign(due_month=lambda r: r["month"] + term)
    known = known_since(rows)
    now = due["due_month"] == month
    due.loc[now, "chance"] = _still(due[now], _days_after(rows[matched], known.iloc[renewal[matched]]), at=at)
    return Renewals(
        term_months=term,
        rate=rate,
        rate_by_kind={str(kind): float(value) for kind, value in by_kind.items()},
        ratio=amounts[renewal[matched]] / amounts[matched],
        due=due[["due_month", "rep_id", "amount_usd", "chance", "transaction_id"]],
        level=_track(rows[over], matched[over], term, wandering),
    )


def _days_after(contracts: pd.DataFrame, when: pd.Series | datetime) -> FloatArray:
    """Days from each contract to a moment, or to one of its own."""
    naive = when.dt.tz_localize(None) if isinstance(when, pd.Series) else pd.Timestamp(when).tz_localize(None)
    moment = naive.to_numpy()
    signed = contracts["event_timestamp"].dt.tz_localize(None).to_numpy()
    return np.asarray((moment - signed) / np.timedelta64(1, "D"), dtype=np.float64)


def _still(due: pd.DataFrame, days_known: FloatArray, *, at: datetime) -> FloatArray:
    """Chance of each contract of this month that its renewal becomes known yet.

    How much of the month's renewals is still ahead of a contract is told by the days after which past ones were known:
    most come with the anniversary, some are entered days later. One that should have been known is less likely to come.

    Args:
        due: Contracts due this month and not renewed yet.
        days_known: Days from past contracts to the moments at which their renewals were known.
        at: The moment.
    """
    usual, days = due["chance"].to_numpy(dtype=np.float64), np.sort(days_known)

    def known_later(moment: datetime) -> FloatArray:
        return len(days) - np.searchsorted(days, _days_after(due, moment), side="right").astype(np.float64)

    ahead = known_later(month_start(month_number(at)))
    left = np.divide(known_later(at), ahead, out=np.full(len(due), 1.0 - share_of_month(at)), where=ahead > 0)
    return np.asarray(usual * left / np.maximum(1.0 - usual * (1.0 - left), 1e-9), dtype=np.float64)


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


def _renewed_by(rows: pd.DataFrame, term: int) -> NDArray[np.int64]:
    """Row of the renewal one term after each contract, -1 without one; each renewal is used once."""
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
    of_key = np.zeros(len(keys), dtype=np.int64)
    of_key[np.searchsorted(keys, own[is_renewal])] = np.flatnonzero(is_renewal)
    found = np.where(is_pair, of_key[at], -1)
    others = np.flatnonzero(matched & ~is_pair)
    renewals: dict[int, list[int]] = {}
    for place in np.flatnonzero(is_renewal & np.isin(own, awaited[others])).tolist():
        renewals.setdefault(own[place], []).append(place)
    for place in others.tolist():
        offered = renewals[awaited[place]]
        if offered:
            nearest = int(np.argmin(np.abs(amounts[offered] - amounts[place]))) if len(offered) > 1 else 0
            found[place] = offered.pop(nearest)
    return np.asarray(found, dtype=np.int64)
