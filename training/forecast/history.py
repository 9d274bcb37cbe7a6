"""What the warehouse knew about deals, money, reps and quotas at a moment, for forecasts made then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from common.errors import TooLittleDataError
from training.forecast.periods import month_number, month_start

DEAL_COLUMNS = (
    "opportunity_id",
    "status",
    "stage",
    "rep_id",
    "amount_usd",
    "close_date",
    "forecast_category",
    "opened_at",
    "crm_probability",
    "next_step_date",
    "competitor",
    "product_id",
    "source",
    "deal_type",
)
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
        self._open: dict[datetime, pd.DataFrame] = {}
        self._cache: dict[tuple[str, datetime], pd.DataFrame] = {}
        empty = [name for name in _NEEDED if tables[name].limit(1).count().execute() == 0]
        if empty:
            raise TooLittleDataError(
                f"A forecast from deals needs {', '.join(_NEEDED)}",
                got=f"no rows in {', '.join(empty)}",
                next_step="load a source that has them",
            )

    def prepare(self, moments: Sequence[datetime]) -> None:
        """Ask for the open deals' states at many moments in one query."""
        from warehouse.as_known import version_number
        from warehouse.contracts import CONTRACTS

        missing = sorted(set(moments) - set(self._open))
        if not missing:
            return
        import ibis

        deals = self._tables["opportunities"]
        times = ibis.memtable(pd.DataFrame({"as_of": pd.to_datetime(missing, utc=True).astype("datetime64[us, UTC]")}))
        times = times.cast({"as_of": deals.event_timestamp.type()})
        # A version is the newest known from when it is known itself until any later one is.
        ranked = deals.mutate(
            _rank=version_number(deals, CONTRACTS["opportunities"]),
            _from=ibis.greatest(deals.event_timestamp, deals.created_timestamp),
        )
        following = ibis.window(group_by="opportunity_id", order_by="_rank", following=(1, None))
        spans = ranked.mutate(_until=ranked._from.min().over(following))
        spans = spans.filter(spans.status == "open", ~spans.is_deleted.fill_null(False))
        known = [spans._from <= times.as_of, spans._until.isnull() | (spans._until > times.as_of)]
        frame: pd.DataFrame = spans.join(times, known).select("as_of", *DEAL_COLUMNS).execute()
        by_moment = dict(tuple(frame.groupby("as_of", sort=False)))
        for moment in missing:
            state = by_moment.get(pd.Timestamp(moment), frame.iloc[:0])
            self._open[moment] = _tidy(state.drop(columns="as_of"))

    def open_deals(self, at: datetime) -> pd.DataFrame:
        """State of every deal that was open as known at `at`, as `deals` gives it."""
        self.prepare([at])
        return self._open[at]

    def deals(self, at: datetime) -> pd.DataFrame:
        """State of every deal as known at `at`, sorted by id; columns `DEAL_COLUMNS`, dates as plain days."""
        from warehouse.as_known import newest_versions
        from warehouse.contracts import CONTRACTS

        def ask() -> pd.DataFrame:
            known = newest_versions(self._tables["opportunities"], CONTRACTS["opportunities"], at)
            return _tidy(known.select(*DEAL_COLUMNS).filter(known.status.notnull()).execute())

        return self._ask("deals", at, ask)

    def outcomes(self, at: datetime) -> pd.DataFrame:
        """When each deal that was decided as known at `at` was decided, by opportunity_id: `status`, `decided_at`."""
        from warehouse.as_known import visible

        def ask() -> pd.DataFrame:
            rows = visible(self._tables["opportunities"], at)
            decided = rows.filter(rows.status.isin(["won", "lost"]))
            first = decided.group_by("opportunity_id", "status").agg(decided_at=decided.event_timestamp.min()).execute()
            state = self.deals(at)[["opportunity_id", "status"]]
            kept = state.merge(first, on=["opportunity_id", "status"], how="inner")
            return kept.set_index("opportunity_id").sort_index()

        return self._ask("outcomes", at, ask)

    def first_known(self, at: datetime) -> pd.Series:
        """When each deal known at `at` was first known, by opportunity_id."""
        from warehouse.as_known import visible

        def ask() -> pd.DataFrame:
            import ibis

            rows = visible(self._tables["opportunities"], at)
            since = ibis.greatest(rows.event_timestamp, rows.created_timestamp).min()
            found: pd.DataFrame = rows.group_by("opportunity_id").agg(since=since).execute()
            return found.set_index("opportunity_id").sort_index()

        return self._ask("first_known", at, ask)["since"]

    def transactions(self, at: datetime) -> pd.DataFrame:
        """Money as known at `at`, each transaction as last corrected, in order of time."""
        return self._ask(
            "transactions", at, lambda: self._newest("transactions", at, ["event_timestamp", "transaction_id"])
        )

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


def _tidy(deals: pd.DataFrame) -> pd.DataFrame:
    days = {name: pd.to_datetime(deals[name]) for name in ("close_date", "next_step_date")}
    return deals.assign(**days).sort_values("opportunity_id").reset_index(drop=True)


def booked_by_deal(transactions: pd.DataFrame) -> pd.DataFrame:
    """First sale and its amount per deal: columns `booked_at`, `booked_usd`, by opportunity_id."""
    sales = transactions[transactions["opportunity_id"].notna() & (transactions["amount_usd"] > 0)]
    grouped = sales.sort_values("event_timestamp", kind="stable").groupby("opportunity_id")
    return pd.DataFrame({"booked_at": grouped["event_timestamp"].min(), "booked_usd": grouped["amount_usd"].sum()})


def snapshot_moments(at: datetime, *, first: datetime) -> list[datetime]:
    """Month starts whose open deals are learned from at `at`: the two years before it, since `first`."""
    month = month_number(at)
    oldest = max(month - _SNAPSHOT_MONTHS, month_number(first) + 1)
    return [month_start(number) for number in range(oldest, month)]
