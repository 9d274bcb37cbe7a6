"""Who takes over from reps who have left: what their customers renew is booked by those."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd


def heirs(reps: pd.DataFrame, transactions: pd.DataFrame, snapshots: pd.DataFrame) -> dict[str, str]:
    """The active rep who takes over from each rep who is not active.

    The one who most of the leaver's accounts and deals went to; if that one has left too, whoever took over from there.
    Where none went to anybody, an active rep of the team, in turn.

    Args:
        reps: Reps as known: rep_id, team, is_active.
        transactions: Money as known, in order of time: account_id, rep_id.
        snapshots: Past states of deals: opportunity_id, moment, rep_id.

    Returns:
        Leaver to active rep; leavers of teams without one are left out.
    """
    active = set(reps.loc[reps["is_active"], "rep_id"])
    passed = _changes(transactions[transactions["account_id"].notna()], "account_id")
    passed += _changes(snapshots.sort_values("moment", kind="stable"), "opportunity_id")
    taken: dict[str, Counter[str]] = {}
    for (old, new), count in passed.items():
        if old not in active:
            taken.setdefault(old, Counter())[new] += count
    found: dict[str, str] = {}
    members = {team: sorted(rows["rep_id"]) for team, rows in reps[reps["is_active"]].groupby("team")}
    leavers = reps.loc[~reps["is_active"], ["rep_id", "team"]].sort_values("rep_id")
    for turn, (leaver, team) in enumerate(leavers.itertuples(index=False, name=None)):
        heir = _follow(leaver, taken, active)
        mates = members.get(team, [])
        if heir is None and mates:
            heir = mates[turn % len(mates)]
        if heir is not None:
            found[leaver] = heir
    return found


def _follow(leaver: str, taken: dict[str, Counter[str]], active: set[str]) -> str | None:
    seen, at = {leaver}, leaver
    while at in taken:
        at = min(taken[at].items(), key=lambda item: (-item[1], item[0]))[0]
        if at in active:
            return at
        if at in seen:
            return None
        seen.add(at)
    return None


def _changes(rows: pd.DataFrame, thing: str) -> Counter[tuple[str, str]]:
    """How often a thing's next row has another rep, by old and new rep; rows in order of time."""
    number = pd.factorize(rows[thing])[0]
    rep, names = pd.factorize(rows["rep_id"])
    told = np.flatnonzero((number >= 0) & (rep >= 0))
    told = told[np.argsort(number[told], kind="stable")]
    number, rep = number[told], rep[told]
    changed = np.flatnonzero((number[1:] == number[:-1]) & (rep[1:] != rep[:-1]))
    return Counter(zip(names[rep[changed]], names[rep[changed + 1]], strict=True))
