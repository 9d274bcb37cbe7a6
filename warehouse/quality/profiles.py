"""One pass over each table: how far its columns are filled, how soon it hears of things, how much comes each week."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from warehouse.contracts import TIME_COLUMNS
from warehouse.quality.reading import Reading
from warehouse.quality.results import ColumnFill, Found, Timeliness
from warehouse.quality.weights import (
    FRESH_DAYS,
    LATE_DAYS,
    NEWS_TABLES,
    STALE_FACTOR,
    WORTHLESS_LATE_SHARE,
    column_weight,
)
from warehouse.views import quoted

_LEAST_NEWS_DAYS = 20
_EXACT_QUANTILE_ROWS = 5_000_000
"""Above it quantiles are estimated by a t-digest: exact ones would hold every value."""
_LEAST_FILL = 0.95


@dataclass(frozen=True)
class Profile:
    """A table at a glance.

    Args:
        rows: Rows known at the moment.
        not_yet_known: Rows known only later.
        columns: Fill of each column.
        timeliness: How soon it hears of what happened.
    """

    rows: int
    not_yet_known: int
    columns: tuple[ColumnFill, ...]
    timeliness: Timeliness

    @property
    def completeness(self) -> float:
        """Weighted mean fill, 0 to 100; 100 where no column counts."""
        weight = sum(column.weight for column in self.columns)
        return 100.0 * sum(c.weight * c.fill for c in self.columns) / weight if weight else 100.0

    @property
    def allowed_age_days(self) -> float:
        """How old the newest row may be before freshness loses points."""
        return max(FRESH_DAYS, 2 * (self.timeliness.usual_gap_days or 0.0))


def profile_table(reading: Reading, table: str) -> Profile:
    """Profile a table that holds rows."""
    contract = reading.contracts[table]
    names = [column.name for column in contract.columns]
    fills = ", ".join(f"count({quoted(name)})" for name in names)
    known = reading.rows_of(table)
    rows, *counts = reading.row(f"SELECT count(*), {fills} FROM {known}")  # noqa: S608
    total = reading.row(f"SELECT count(*) FROM {quoted(table)}")[0]  # noqa: S608
    columns = tuple(
        ColumnFill(name=column.name, fill=count / rows, weight=weight, counted=why)
        for column, count in zip(contract.columns, counts, strict=True)
        for weight, why in [column_weight(table, column, fill=count / rows)]
    )
    return Profile(rows=rows, not_yet_known=total - rows, columns=columns, timeliness=_timeliness(reading, table, rows))


def _timeliness(reading: Reading, table: str, rows: int) -> Timeliness:
    lag = "epoch(created_timestamp) - epoch(event_timestamp)"
    quantile = "quantile_cont" if rows <= _EXACT_QUANTILE_ROWS else "approx_quantile"
    newest, median, p95, late = reading.row(
        f"""SELECT max(created_timestamp), {quantile}({lag}, 0.5), {quantile}({lag}, 0.95),
                   count_if({lag} > {LATE_DAYS * 86_400}) FROM {reading.rows_of(table)}"""  # noqa: S608
    )
    return Timeliness(
        newest=newest,
        newest_age_days=(reading.as_of - newest) / timedelta(days=1),
        lag_median_hours=median / 3600,
        lag_p95_hours=p95 / 3600,
        late_share=late / rows,
        usual_gap_days=_usual_gap_days(reading, table),
    )


def _usual_gap_days(reading: Reading, table: str) -> float | None:
    days, gap = reading.row(
        f"""SELECT count(*), quantile_cont(gap, 0.95) FROM (
              SELECT day - lag(day) OVER (ORDER BY day) AS gap
              FROM (SELECT DISTINCT created_timestamp::DATE AS day FROM {reading.rows_of(table)}))"""  # noqa: S608
    )
    return float(gap) if days >= _LEAST_NEWS_DAYS and table in NEWS_TABLES else None


def completeness_findings(profile: Profile, table: str) -> list[Found]:
    """A finding per column that counts and is less than 95 % full; one for all that are empty throughout."""
    counted = [column for column in profile.columns if column.weight and column.fill < _LEAST_FILL]
    absent = [column for column in counted if column.fill == 0]
    gaps = [_missing(profile, table, column) for column in counted if column.fill > 0]
    return gaps + ([_absent(profile, table, absent)] if absent else [])


def _absent(profile: Profile, table: str, columns: Sequence[ColumnFill]) -> Found:
    names = ", ".join(column.name for column in columns)
    return Found(
        check="completeness.not_supplied",
        table=table,
        column=columns[0].name if len(columns) == 1 else None,
        dimension="completeness",
        what=f"{names} {'is' if len(columns) == 1 else 'are'} empty in all {profile.rows:,} rows; features read "
        f"{'it' if len(columns) == 1 else 'them'}",
        advice="Map them in the source's mapping if the CRM has such fields; until then those features are missing.",
        count=len(columns),
        penalty=sum(_loss(profile, column) for column in columns),
    )


def _loss(profile: Profile, column: ColumnFill) -> float:
    """Points of completeness that the gaps of a column cost."""
    return 100 * column.weight * (1 - column.fill) / sum(each.weight for each in profile.columns)


def _missing(profile: Profile, table: str, column: ColumnFill) -> Found:
    missing = round(profile.rows * (1 - column.fill))
    kind = {3: "required", 2: "used by features"}.get(column.weight)
    what = f"{column.name} is empty in {missing:,} of {profile.rows:,} rows" + (f"; it is {kind}" if kind else "")
    return Found(
        check="completeness.empty",
        table=table,
        column=column.name,
        dimension="completeness",
        what=what,
        advice=f"Fill {column.name} in the CRM, or make the field mandatory there; check its column in the mapping.",
        count=missing,
        of=profile.rows,
        penalty=_loss(profile, column),
    )


def timeliness_findings(profile: Profile, table: str) -> list[Found]:
    """Late entry, and a table that has stopped hearing of anything."""
    found = []
    times = profile.timeliness
    judged_fresh = times.usual_gap_days is not None
    late_penalty = min(100.0, 100 * times.late_share / WORTHLESS_LATE_SHARE) * (0.5 if judged_fresh else 1.0)
    if times.late_share > 0:
        late = round(times.late_share * profile.rows)
        found.append(
            Found(
                check="timeliness.late",
                table=table,
                column=TIME_COLUMNS[1],
                dimension="timeliness",
                what=f"{late:,} of {profile.rows:,} rows became known more than {LATE_DAYS} days after they happened "
                f"(median lag {_lag_words(times.lag_median_hours)}, 95 % within {_lag_words(times.lag_p95_hours)})",
                advice="Have them entered when they happen, or load the source more often; features cannot see them "
                "before they are known.",
                count=late,
                of=profile.rows,
                penalty=late_penalty,
            )
        )
    allowed = profile.allowed_age_days
    if judged_fresh and times.newest_age_days > allowed:
        over = (times.newest_age_days - allowed) / ((STALE_FACTOR - 1) * allowed)
        found.append(
            Found(
                check="timeliness.stale",
                table=table,
                dimension="timeliness",
                what=f"Nothing new for {times.newest_age_days:.1f} days (newest {times.newest:%Y-%m-%d %H:%M} UTC); "
                f"up to {allowed:.1f} days are usual",
                advice="Load what has come since: `salience ingest`; if the source is silent, ask why.",
                count=1,
                penalty=min(50.0, 50.0 * over),
            )
        )
    return found


def _lag_words(hours: float) -> str:
    if abs(hours) < 1:
        return f"{60 * hours:.0f} minutes"
    return f"{hours:.1f} hours" if abs(hours) < 48 else f"{hours / 24:.1f} days"
