"""What the warehouse knew about deals, money, reps and quotas at a moment, for forecasts made then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from common.errors import TooLittleDataError
from training.forecast.periods import moment_in_month, month_number, share_of_month
from training.forecast.states import DEAL_COLUMNS, States, deal_frame, without_ties
from training.forecast.versions import Places, Versions, read_versions

SALES_KINDS = ("booking", "expansion")
UNASSIGNED = "unassigned"
COMPANY = "company"
LEVELS = (COMPANY, "region", "team", "rep")
_SNAPSHOT_MONTHS = 24
_NEEDED = ("opportunities", "transactions", "reps")


class PipelineHistory:
    """Reads the canonical tables as known at given moments; every question is asked once.

    Amounts are US dollars: a source converts when it is loaded, at the rate known then. A rate that comes later makes
    later versions, which what was known before does not see.

    Args:
        tables: Canonical tables as Ibis tables on one connection.

    Raises:
        TooLittleDataError: if deals, transactions or reps are absent altogether.
    """

    def __init__(self, tables: dict[str, Any]) -> None:
        self._tables = tables
        self._open: dict[datetime, Places] = {}
        self._cache: dict[tuple[str, datetime], pd.DataFrame] = {}
        empty = [name for name in _NEEDED if tables[name].limit(1).count().execute() == 0]
        if empty:
            raise TooLittleDataError(
                f"A forecast from deals needs {', '.join(_NEEDED)}",
                got=f"no rows in {', '.join(empty)}",
                next_step="load a source that has them",
            )

    @property
    def versions(self) -> Versions:
        """All versions of deals by their times."""
        return self._told[0]

    def open_deals(self, at: datetime) -> pd.DataFrame:
        """State of every deal that was open as known at `at`, as `deals` gives it."""
        (places,) = self.open_places([at])
        return self.states(places)

    def open_places(self, moments: Sequence[datetime]) -> list[Places]:
        """For each moment the places, among the versions, of those open then, in the order of their deals' ids."""
        missing = sorted(set(moments) - set(self._open))
        if missing:
            self._open.update(zip(missing, self.versions.open_at(missing), strict=True))
        return [self._open[moment] for moment in moments]

    def states(self, places: Places) -> pd.DataFrame:
        """What the versions at some places say, as `deals` gives it; those not read before are read in one query."""
        return self._told[1].rows(places)

    @cached_property
    def _told(self) -> tuple[Versions, States]:
        deals = self._tables["opportunities"]
        found = read_versions(deals)
        if found.has_ties:
            deals = without_ties(deals)
            found = read_versions(deals)
        return found, States(deals, found)

    def deals(self, at: datetime) -> pd.DataFrame:
        """State of every deal as known at `at`, sorted by id; columns `DEAL_COLUMNS`, dates as plain days."""
        from warehouse.as_known import newest_versions
        from warehouse.contracts import CONTRACTS

        def ask() -> pd.DataFrame:
            known = newest_versions(self._tables["opportunities"], CONTRACTS["opportunities"], at)
            rows = known.filter(known.status.notnull()).select(*DEAL_COLUMNS).order_by("opportunity_id")
            return deal_frame(rows.to_pyarrow())

        return self._ask("deals", at, ask)

    def fates(self, at: datetime) -> pd.DataFrame:
        """Of every deal known at `at`, by opportunity_id: much less to read than `deals`.

        Returns:
            Columns `number` (the deal's, among the versions), `since` (when it was first known), `status` and `rep_id`
            as known at `at`, missing where it was deleted, and `decided_at` (when it was first told to be won, or lost,
            as it is now; missing while open).
        """
        return self._ask("fates", at, lambda: self.versions.fates(at))

    def outcomes(self, at: datetime) -> pd.DataFrame:
        """Each deal that was decided as known at `at`, by opportunity_id: `number`, `status`, `decided_at`."""

        def ask() -> pd.DataFrame:
            fates = self.fates(at)
            return fates.loc[fates["decided_at"].notna(), ["number", "status", "decided_at"]]

        return self._ask("outcomes", at, ask)

    def first_known(self, at: datetime) -> pd.Series:
        """When each deal known at `at` was first known, by opportunity_id."""
        return self.fates(at)["since"]

    @cached_property
    def leads_by_month(self) -> pd.Series:
        """How many leads were first known in each month, by its number; empty where the source has none.

        Of a month that is over nothing changes any more: a lead cannot become known before it was.
        """
        leads = self._tables.get("leads")
        if leads is None:
            return pd.Series(dtype="int64")
        import ibis

        since = ibis.greatest(leads.event_timestamp, leads.created_timestamp)
        first = leads.group_by("lead_id").agg(since=since.min())
        month = first.since.year() * 12 + first.since.month() - 1
        found: pd.DataFrame = first.group_by(month=month).agg(count=first.count()).order_by("month").execute()
        return found.set_index("month")["count"]

    def transactions(self, at: datetime) -> pd.DataFrame:
        """Money as known at `at`, each transaction as last corrected, in order of time."""

        def ask() -> pd.DataFrame:
            from warehouse.as_known import newest_versions
            from warehouse.contracts import CONTRACTS

            known = newest_versions(self._tables["transactions"], CONTRACTS["transactions"], at)
            in_order = [("event_timestamp", "ascending"), ("transaction_id", "ascending")]
            return deal_frame(known.to_pyarrow().sort_by(in_order))

        return self._ask("transactions", at, ask)

    def booked(self, at: datetime) -> pd.DataFrame:
        """First sale and its amount per deal as known at `at`; see `booked_by_deal`."""
        return self._ask("booked", at, lambda: booked_by_deal(self.transactions(at)))

    def reps(self, at: datetime) -> pd.DataFrame:
        """Reps as known at `at`, sorted by id; a missing team or region is `unassigned`."""

        def ask() -> pd.DataFrame:
            reps = self._newest("reps", at, ["rep_id"])
            return reps.assign(
                team=reps["team"].fillna(UNASSIGNED),
                region=reps["region"].fillna(UNASSIGNED),
                is_active=reps["is_active"].astype("boolean").fillna(True).astype(bool),
            )

        return self._ask("reps", at, ask)

    def teams(self, at: datetime) -> pd.DataFrame:
        """Team and region of each rep from when on, as known at `at`, planned changes too; in order of time.

        Returns:
            Columns rep_id, team, region, event_timestamp; one row per change.
        """

        def ask() -> pd.DataFrame:
            from common.clock import utc

            rows = self._tables["reps"]
            known = rows.filter(rows.created_timestamp <= utc(at))
            columns = ["rep_id", "team", "region", "event_timestamp", "created_timestamp"]
            found: pd.DataFrame = known.select(*columns).execute()
            found = found.fillna({"team": UNASSIGNED, "region": UNASSIGNED}).sort_values(columns, kind="stable")
            found = found.sort_values(["rep_id", "event_timestamp", "created_timestamp"], kind="stable")
            found = found.drop_duplicates(["rep_id", "event_timestamp"], keep="last")
            place = found[["rep_id", "team", "region"]]
            is_new = (place != place.shift()).any(axis=1)
            return found.loc[is_new, columns[:4]].reset_index(drop=True)

        return self._ask("teams", at, ask)

    def quotas(self, at: datetime) -> pd.DataFrame:
        """Quotas as known at `at`; empty where the source has none."""
        return self._ask("quotas", at, lambda: self._newest("quotas", at, ["quota_id"]))

    def _newest(self, table: str, at: datetime, order: list[str]) -> pd.DataFrame:
        from warehouse.as_known import newest_versions
        from warehouse.contracts import CONTRACTS

        frame: pd.DataFrame = newest_versions(self._tables[table], CONTRACTS[table], at).execute()
        return frame.sort_values(order, kind="stable").reset_index(drop=True)

    def _ask(self, what: str, at: datetime, ask: Any) -> pd.DataFrame:
        if (what, at) not in self._cache:
            self._cache[what, at] = ask()
        return self._cache[what, at]


def booked_by_deal(transactions: pd.DataFrame) -> pd.DataFrame:
    """First sale and amount per deal: columns `booked_at`, `known_at`, `booked_usd`, by opportunity_id.

    Args:
        transactions: In order of time.
    """
    sales = transactions[transactions["opportunity_id"].notna() & (transactions["amount_usd"] > 0)]
    number, names = pd.factorize(sales["opportunity_id"])
    first = np.unique(number, return_index=True)[1]
    booked = np.bincount(number, weights=sales["amount_usd"].to_numpy(dtype=np.float64), minlength=len(names))
    when = {"booked_at": sales["event_timestamp"], "known_at": known_since(sales)}
    found = pd.DataFrame({name: times.iloc[first].reset_index(drop=True) for name, times in when.items()})
    found["booked_usd"] = booked
    return found.set_index(pd.Index(names, name="opportunity_id"))


def known_since(rows: pd.DataFrame) -> pd.Series:
    """When each row was known: it had happened and could be known."""
    event, created = rows["event_timestamp"], rows["created_timestamp"]
    return event.where(event >= created, created)


def snapshot_moments(at: datetime, *, first: datetime) -> list[datetime]:
    """Moments whose open deals are learned from at `at`: one a month of the two years before it, since `first`.

    Each is as far into its month as `at` is into its own: what becomes of a deal in the rest of a month is learned from
    rests as long.
    """
    month, share = month_number(at), share_of_month(at)
    oldest = max(month - _SNAPSHOT_MONTHS, month_number(first) + 1)
    return [moment_in_month(number, share) for number in range(oldest, month)]
