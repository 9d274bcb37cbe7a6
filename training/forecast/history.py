"""What the warehouse knew about deals, money, reps and quotas at a moment, for forecasts made then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import pandas as pd

from common.errors import TooLittleDataError
from training.forecast.periods import month_number, month_start
from training.forecast.states import DEAL_COLUMNS, Places, States, deal_frame, has_ties, read_states, without_ties

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
        self._states: States | None = None
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
        missing = sorted(set(moments) - set(self._open))
        if not missing:
            return
        found = read_states(self._opportunities, missing)
        # Rows asked for before keep their places.
        before = 0 if self._states is None else self._states.table.num_rows
        self._states = found if self._states is None else self._states.followed_by(found)
        self._open.update({moment: found.places(moment) + before for moment in missing})

    def open_deals(self, at: datetime) -> pd.DataFrame:
        """State of every deal that was open as known at `at`, as `deals` gives it."""
        states, (places,) = self.open_states([at])
        return states.rows(places)

    def open_states(self, moments: Sequence[datetime]) -> tuple[States, list[Places]]:
        """Versions of deals, and for each moment the places of those open then, in the order of their ids."""
        self.prepare(moments)
        if self._states is None:
            raise ValueError("At least one moment is needed.")
        return self._states, [self._open[moment] for moment in moments]

    @cached_property
    def _opportunities(self) -> Any:
        deals = self._tables["opportunities"]
        return without_ties(deals) if has_ties(deals) else deals

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
            Columns `since` (when it was first known), `status` and `rep_id` as known at `at`, missing where it was
            deleted, and `decided_at` (when it was first told to be won, or lost, as it is now; missing while open).
        """
        return self._ask("fates", at, lambda: _fates(self._opportunities, at))

    def owners(self, at: datetime) -> pd.Series:
        """The rep of each deal known at `at`, by opportunity_id."""
        fates = self.fates(at)
        return fates.loc[fates["status"].notna(), "rep_id"]

    def outcomes(self, at: datetime) -> pd.DataFrame:
        """When each deal that was decided as known at `at` was decided, by opportunity_id: `status`, `decided_at`."""
        fates = self.fates(at)
        return fates.loc[fates["decided_at"].notna(), ["status", "decided_at"]]

    def first_known(self, at: datetime) -> pd.Series:
        """When each deal known at `at` was first known, by opportunity_id."""
        return self.fates(at)["since"]

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


def _fates(deals: Any, at: datetime) -> pd.DataFrame:
    import ibis

    from warehouse.as_known import visible

    rows = visible(deals, at)
    told = ibis.struct({"status": rows.status, "rep_id": rows.rep_id, "is_deleted": rows.is_deleted.fill_null(False)})
    newest = told.argmax(ibis.struct({"event": rows.event_timestamp, "created": rows.created_timestamp}))
    decided = {f"_{status}_at": rows.event_timestamp.min(where=rows.status == status) for status in ("won", "lost")}
    since = ibis.greatest(rows.event_timestamp, rows.created_timestamp).min()
    by_deal = rows.group_by("opportunity_id").agg(since=since, _newest=newest, **decided)
    state = by_deal._newest
    is_here = ~state["is_deleted"]
    status = ibis.cases((is_here, state["status"]))
    found = by_deal.select(
        "opportunity_id",
        "since",
        status=status,
        rep_id=ibis.cases((is_here, state["rep_id"])),
        decided_at=ibis.cases((status == "won", by_deal._won_at), (status == "lost", by_deal._lost_at)),
    )
    return deal_frame(found.order_by("opportunity_id").to_pyarrow()).set_index("opportunity_id")


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
