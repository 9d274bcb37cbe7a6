"""Past moments a month apart, the deals open then, and what had become of them: what a forecast learns from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.errors import TooLittleDataError
from training.forecast.conversion import due_bucket
from training.forecast.history import PipelineHistory, snapshot_moments
from training.forecast.periods import month_number, month_start
from training.forecast.versions import Places, microseconds

_LEAST_DECIDED = 10
_LEAST_MONTHS = 6
_MOST_ROWS = 40_000


def learn_from(history: PipelineHistory, *, at: datetime, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Snapshots with outcomes, and the open deals of now with the same columns.

    Args:
        history: The canonical tables as they were known.
        at: The origin; nothing known later is used.
        seed: Seed of the sample: of more than 40 000 snapshots those of some deals, drawn by chance, are given, so that
            learning's time is bounded.

    Returns:
        The snapshots: the deal's columns, `moment`, `month` (its number), `watched` (whole months known after it),
        `due` (bucket of the close date), `won`, `lag` (month of the outcome relative to the snapshot's, NaN while
        open, -1 if it was decided in a month before and not yet known), `is_soon` (decided before the next snapshot),
        `is_late` (decided before this one and not yet known), `ratio` (booked over entered), `booked_usd`, and how the
        deal came there: `stage_days`, `moves`, `moved_days`, `amount_change`. The open deals: the same but outcomes.

    Raises:
        TooLittleDataError: if there are too few months or decided deals known at `at`.
    """
    first = history.first_known(at)
    moments = snapshot_moments(at, first=first.min()) if len(first) else []
    if len(moments) < _LEAST_MONTHS:
        raise TooLittleDataError(
            f"A forecast from deals as of {at:%Y-%m-%d} needs {_LEAST_MONTHS} months of deals before it",
            got=f"{len(moments)}",
            next_step="load more history",
        )
    n_decided = len(history.outcomes(at))
    if n_decided < _LEAST_DECIDED:
        raise TooLittleDataError(
            f"A forecast from deals as of {at:%Y-%m-%d} needs {_LEAST_DECIDED} decided deals",
            got=f"{n_decided}",
            next_step="load more history",
        )
    all_moments = [*moments, at]
    number = history.versions.deal
    places = _unsold(history, history.open_places(all_moments), all_moments, at=at)
    is_learned = _drawn(history, places, seed=seed)
    # What is open now needs its own past, whether it is learned from or not.
    is_needed = is_learned.copy()
    is_needed[number[places[-1]]] = True
    places = [place[is_needed[number[place]]] for place in places]
    all_places = np.concatenate(places)
    rows = _seen(history.states(all_places), all_moments, [len(place) for place in places], at=at)
    code = number[all_places]
    is_now = np.arange(len(rows)) >= len(rows) - len(places[-1])
    rows = rows.join(_so_far(rows, code))
    past = rows[~is_now & is_learned[code]].reset_index(drop=True)
    now = rows[is_now].reset_index(drop=True)
    return _with_outcomes(past, history.fates(at), history.booked(at), moments=all_moments), now


def whole_months(
    history: PipelineHistory, snapshots: pd.DataFrame, deals: pd.DataFrame, *, at: datetime, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same at month starts, up to that of the moment's month: whole months are told to run fast or slow, not parts.

    Args:
        history: As for `learn_from`.
        snapshots: What it gave.
        deals: The same.
        at: As for it.
        seed: As for it.

    Returns:
        Snapshots and open deals with `opportunity_id`, `stage`, `month`, `won` and `lag` (of the snapshots) alone; what
        was given, where the moment is a month's start.
    """
    begun = month_start(month_number(at))
    if begun == at:
        return snapshots, deals
    moments = [*(month_start(number) for number in sorted(snapshots["month"].unique().tolist())), begun]
    places, number = _unsold(history, history.open_places(moments), moments, at=at), history.versions.deal
    is_learned = _drawn(history, places, seed=seed)
    places = [*(place[is_learned[number[place]]] for place in places[:-1]), places[-1]]
    all_places = np.concatenate(places)
    counts = [len(place) for place in places]
    rows = pd.DataFrame(
        {
            "opportunity_id": history.versions.ids[number[all_places]],
            "stage": history.versions.texts["stage"].at(all_places),
            "month": np.repeat([month_number(moment) for moment in moments], counts),
        }
    )
    past, now = rows.iloc[: -counts[-1] or None], rows.iloc[len(rows) - counts[-1] :]
    return past.assign(**_outcomes(past, history.fates(at), history.booked(at))), now.reset_index(drop=True)


def _drawn(history: PipelineHistory, places: Sequence[Places], *, seed: int) -> NDArray[np.bool_]:
    """Which deals are learned from, by number: all that were met, or a sample where their snapshots are too many."""
    number, size = history.versions.deal, len(history.versions.ids)
    # Numbers of the deals met, in the order of their ids, so that the same deals are drawn whatever else is known.
    is_met = np.zeros(size, dtype=bool)
    for place in places:
        is_met[number[place]] = True
    counted = sum(len(place) for place in places[:-1])
    is_learned = np.zeros(size, dtype=bool)
    is_learned[is_met] = _sample(int(is_met.sum()), share=_MOST_ROWS / max(counted, 1), seed=seed)
    return is_learned


def _unsold(
    history: PipelineHistory, places: Sequence[Places], moments: Sequence[datetime], *, at: datetime
) -> list[Places]:
    """The places whose deals had no sale that was known at their moment: its money is there, whatever the deal says."""
    fates, booked = history.fates(at), history.booked(at)
    place_of = fates.index.get_indexer(booked.index)
    is_told = place_of >= 0
    known_at = booked["known_at"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
    sold_at = np.full(len(history.versions.sorted_ids), np.iinfo(np.int64).max)
    sold_at[fates["number"].to_numpy()[place_of[is_told]]] = known_at[is_told]
    number = history.versions.deal
    return [place[sold_at[number[place]] > microseconds(moment)] for place, moment in zip(places, moments, strict=True)]


def _seen(deals: pd.DataFrame, moments: Sequence[datetime], counts: Sequence[int], *, at: datetime) -> pd.DataFrame:
    """States with the moments they were seen at, so many of each; and what follows from both."""
    number = np.repeat([month_number(moment) for moment in moments], counts)
    moment = pd.DatetimeIndex(list(moments)).repeat(counts)
    return deals.assign(
        due=due_bucket(deals["close_date"], at=moment),
        month=number,
        moment=moment,
        watched=month_number(at) - number,
    )


def _with_outcomes(
    rows: pd.DataFrame, fates: pd.DataFrame, booked: pd.DataFrame, *, moments: Sequence[datetime]
) -> pd.DataFrame:
    found = _outcomes(rows, fates, booked)
    when = found.pop("when")
    rows = rows.assign(**found)
    following = pd.DatetimeIndex(list(moments[1:]))[rows["month"].to_numpy() - month_number(moments[0])]
    rows["is_late"] = when < rows["moment"]
    rows["is_soon"] = (when < following) & (rows["lag"] >= 0)
    rows["ratio"] = (rows["booked_usd"] / rows["amount_usd"]).where(rows["won"] & (rows["amount_usd"] > 0))
    return rows


def _outcomes(rows: pd.DataFrame, fates: pd.DataFrame, booked: pd.DataFrame) -> dict[str, Any]:
    """What had become of each row's deal, and when."""
    number, names = pd.factorize(rows["opportunity_id"])
    decided, sold = fates.iloc[fates.index.get_indexer(names)], booked.reindex(names)
    told = {"decided_at": decided, "booked_at": sold, "booked_usd": sold}
    found = {name: pd.Series(source[name].array.take(number), index=rows.index) for name, source in told.items()}
    status, is_sold = decided["status"].to_numpy()[number], found["booked_at"].notna()
    # Money that is known says so before the deal does.
    won = (status == "won") | ((status == "open") & is_sold)
    when = found["booked_at"].where(won & is_sold, found["decided_at"])
    lag = (when.dt.year * 12 + when.dt.month - 1 - rows["month"]).clip(lower=-1)
    return {**found, "won": won, "lag": lag, "when": when}


def _sample(count: int, *, share: float, seed: int) -> NDArray[np.bool_]:
    if share >= 1.0:
        return np.ones(count, dtype=bool)
    return np.asarray(np.random.default_rng([seed, 1]).random(count) < share, dtype=bool)


def _so_far(rows: pd.DataFrame, code: NDArray[np.int64]) -> pd.DataFrame:
    """How each snapshot's deal came there, from its own earlier snapshots only; `code` numbers the deals."""
    order = np.lexsort((rows["moment"].dt.tz_localize(None).to_numpy(), code))
    ordered, deal = rows.iloc[order], code[order]
    is_first = np.r_[True, deal[1:] != deal[:-1]]
    since = ordered["moment"] - ordered["moment"].min()
    days = since.dt.total_seconds().to_numpy(dtype=np.float64) / 86400.0
    stage = pd.factorize(ordered["stage"])[0]
    is_moved_on = is_first | np.r_[True, stage[1:] != stage[:-1]]
    begun = _last_of(is_moved_on)
    close = ordered["close_date"].to_numpy(dtype="datetime64[D]").astype(np.float64)
    close = np.where(np.isnat(ordered["close_date"].to_numpy(dtype="datetime64[D]")), np.nan, close)
    shift = np.where(is_first, 0.0, np.nan_to_num(np.r_[0.0, np.diff(close)]))
    pushes = np.cumsum(shift > 0, dtype=np.int64)
    start = _last_of(is_first)
    amount = ordered["amount_usd"].to_numpy(dtype=np.float64)
    change = np.log(np.maximum(amount, 1.0)) - np.log(np.maximum(amount[start], 1.0))
    columns = {
        "stage_days": days - days[begun],
        "moves": (pushes - pushes[start]).astype(np.float64),
        "moved_days": shift,
        "amount_change": change,
    }
    found = pd.DataFrame(columns, index=ordered.index)
    return found.reindex(rows.index)


def _last_of(marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Place of the last marked row up to each row."""
    places = np.where(marked, np.arange(len(marked)), 0)
    return np.asarray(pd.Series(places).cummax(), dtype=np.int64)
