"""Independent oracles: the hardest features again, in plain SQL written from their meaning, on the simulated world."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.catalogue import VIEWS
from features.transform import compute
from warehouse.contracts import CONTRACTS, UTC_MICROSECONDS
from warehouse.simulator import SimulationConfig, simulate
from warehouse.views import open_connection

ROWS = 150

# What was known of each deal, from one moment to the next: a version counts from when it is known, unless a newer one
# was known by then.
PATH = """
    CREATE TABLE path AS
    SELECT v.*, greatest(v.event_timestamp, v.created_timestamp) AS known
    FROM opportunities v
    WHERE NOT EXISTS (
        FROM opportunities w WHERE w.opportunity_id = v.opportunity_id
        AND greatest(w.event_timestamp, w.created_timestamp) <= greatest(v.event_timestamp, v.created_timestamp)
        AND (w.event_timestamp, w.created_timestamp) > (v.event_timestamp, v.created_timestamp))
"""
# The first closing of each deal, and the path's row before it.
CLOSED = """
    CREATE TABLE closed AS
    SELECT c.*, b.competitor AS named_before FROM path c
    LEFT JOIN LATERAL (
        SELECT competitor FROM path p WHERE p.opportunity_id = c.opportunity_id AND p.known < c.known
        ORDER BY p.known DESC LIMIT 1) b ON true
    WHERE c.status <> 'open' AND NOT EXISTS (
        FROM path p WHERE p.opportunity_id = c.opportunity_id AND p.status <> 'open' AND p.known < c.known)
"""
# Each stay in a stage, from the version that began it to the first version that ended it.
STAYS = """
    CREATE TABLE stays AS
    SELECT coalesce(b.pipeline, '') AS pipeline, coalesce(b.pipeline, '') || '|' || b.stage AS stage_id,
        floor(epoch(e.event_timestamp)) - floor(epoch(b.event_timestamp)) AS seconds, e.known,
        e.event_timestamp AS ended_at
    FROM path b
    JOIN LATERAL (
        SELECT known, event_timestamp FROM path p WHERE p.opportunity_id = b.opportunity_id AND p.known > b.known
        AND (p.stage <> b.stage OR p.status <> 'open' OR p.pipeline IS DISTINCT FROM b.pipeline)
        ORDER BY p.known LIMIT 1) e ON true
    WHERE b.status = 'open' AND e.event_timestamp > b.event_timestamp AND NOT EXISTS (
        FROM (SELECT * FROM path p WHERE p.opportunity_id = b.opportunity_id AND p.known < b.known
            ORDER BY p.known DESC LIMIT 1) last
        WHERE last.stage = b.stage AND last.status = 'open' AND last.pipeline IS NOT DISTINCT FROM b.pipeline)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("world")
    simulate(SimulationConfig.of_size("small", years=1), landing=folder / "landing", truth=folder / "truth")
    with open_connection() as connection:
        for table, contract in CONTRACTS.items():
            connection.register(f"_{table}", contract.arrow_schema.empty_table())
            file = folder / "landing" / f"{table}.parquet"
            files = f"UNION ALL BY NAME SELECT * FROM '{file}'" if file.exists() else ""
            connection.execute(f"CREATE TABLE {table} AS SELECT * FROM _{table} {files}")
        for statement in (PATH, CLOSED, STAYS):
            connection.execute(statement)
        yield connection


def _asked(world: Any, key: str, keys: str) -> pa.Table:
    """Random moments for random keys, in the half of the world in which something is known."""
    names = sorted(name for (name,) in world.execute(keys).fetchall())
    first, last = world.execute("SELECT min(event_timestamp), max(created_timestamp) FROM opportunities").fetchall()[0]
    draw = np.random.default_rng(5)
    share = draw.uniform(0.2, 1.0, ROWS)
    moments = [first + (last - first) * each for each in share]
    columns = {key: pa.array(draw.choice(names, ROWS), pa.string()), "as_of": pa.array(moments, UTC_MICROSECONDS)}
    return pa.table(columns).group_by([key, "as_of"]).aggregate([])


def _compare(world: Any, view: str, asked: pa.Table, oracle: str, *names: str) -> None:
    """The features `names` of the view equal the columns of the oracle's SQL over `asked`, row by row."""
    key = VIEWS[view].join_key
    computed = compute(VIEWS[view], asked, world)
    world.register("asked", asked)
    told = world.sql(oracle).to_arrow_table()
    expected = {(row[key], row["as_of"]): row for row in told.to_pylist()}
    assert len(expected) == asked.num_rows
    known = dict.fromkeys(names, 0)
    for row in computed.to_pylist():
        other = expected[row[key], row["event_timestamp"]]
        for name in names:
            assert row[name] == (None if other[name] is None else pytest.approx(other[name], rel=1e-9, abs=1e-9)), name
            known[name] += row[name] not in (None, 0)
    assert all(count >= 10 for count in known.values()), known


def test_what_changed_in_a_deal(world: Any) -> None:
    asked = _asked(world, "opportunity_id", "SELECT DISTINCT opportunity_id FROM opportunities")
    oracle = """
        WITH seen AS (
            SELECT a.as_of, v.* FROM asked a LEFT JOIN opportunities v ON v.opportunity_id = a.opportunity_id
            AND v.event_timestamp <= a.as_of AND v.created_timestamp <= a.as_of
        ), kept AS (
            FROM seen s WHERE NOT EXISTS (
                FROM seen t WHERE t.opportunity_id = s.opportunity_id AND t.as_of = s.as_of
                AND t.event_timestamp = s.event_timestamp AND t.created_timestamp > s.created_timestamp)
        ), pairs AS (
            SELECT a.opportunity_id, a.as_of, k.* EXCLUDE (opportunity_id, as_of),
                (SELECT p FROM kept p WHERE p.opportunity_id = k.opportunity_id AND p.as_of = k.as_of
                 AND p.event_timestamp < k.event_timestamp ORDER BY p.event_timestamp DESC LIMIT 1) AS before
            FROM asked a LEFT JOIN kept k ON k.opportunity_id = a.opportunity_id AND k.as_of = a.as_of
        )
        SELECT opportunity_id, as_of,
            nullif(count(stage), 0) - count(stage) + count(*) FILTER (WHERE stage <> before.stage)
                AS count_stage_changes,
            nullif(count(stage), 0) - count(stage) + count(*) FILTER (WHERE close_date > before.close_date)
                AS count_close_date_pushes,
            nullif(count(stage), 0) - count(stage) + count(*) FILTER (WHERE amount_usd < before.amount_usd)
                AS count_amount_cuts,
            (floor(epoch(as_of)) - max(floor(epoch(event_timestamp)))
                FILTER (WHERE before IS NULL OR stage <> before.stage)) / 86400 AS days_in_stage,
            (floor(epoch(as_of)) - max(floor(epoch(event_timestamp)))
                FILTER (WHERE close_date > before.close_date)) / 86400 AS days_since_last_close_date_push
        FROM pairs GROUP BY opportunity_id, as_of
    """
    names = ("count_stage_changes", "count_close_date_pushes", "count_amount_cuts", "days_in_stage")
    _compare(world, "deal_state", asked, oracle, *names, "days_since_last_close_date_push")


def test_usual_days_in_a_stage(world: Any) -> None:
    asked = _asked(world, "stage_id", "SELECT DISTINCT stage_id FROM stays")
    oracle = """
        WITH counted AS (
            SELECT a.stage_id AS asked_stage, a.as_of, s.* FROM asked a JOIN stays s
            ON s.known <= a.as_of AND (s.ended_at > a.as_of - INTERVAL 365 DAY)
        ), sums AS (
            SELECT asked_stage AS stage_id, as_of, count(*) AS n_all, sum(seconds) AS all_seconds,
                count(*) FILTER (WHERE pipeline = split_part(asked_stage, '|', 1)) AS n_pipeline,
                sum(seconds) FILTER (WHERE pipeline = split_part(asked_stage, '|', 1)) AS pipeline_seconds,
                count(*) FILTER (WHERE stage_id = asked_stage) AS n, coalesce(
                    sum(seconds) FILTER (WHERE stage_id = asked_stage), 0) AS stage_seconds
            FROM counted GROUP BY ALL
        )
        SELECT a.*, coalesce(n, 0) AS count_deals_left_stage_365d,
            (stage_seconds + 20 * (pipeline_seconds + 20 * all_seconds / n_all) / (n_pipeline + 20)) / (n + 20) / 86400
                AS usual_days_in_stage_365d
        FROM asked a LEFT JOIN sums USING (stage_id, as_of)
    """
    _compare(world, "stage_history", asked, oracle, "usual_days_in_stage_365d", "count_deals_left_stage_365d")


def test_win_rate_against_a_competitor(world: Any) -> None:
    asked = _asked(world, "competitor_id", "SELECT DISTINCT competitor FROM opportunities WHERE competitor IS NOT NULL")
    oracle = """
        WITH sums AS (
            SELECT a.competitor_id, a.as_of, count(*) AS closed, count(*) FILTER (WHERE status = 'won') AS won,
                count(*) FILTER (WHERE named_before = competitor_id) AS mine,
                count(*) FILTER (WHERE named_before = competitor_id AND status = 'won') AS mine_won
            FROM asked a JOIN closed c ON c.named_before IS NOT NULL AND c.known <= a.as_of
            AND c.event_timestamp > a.as_of - INTERVAL 365 DAY GROUP BY ALL
        )
        SELECT a.*, coalesce(mine, 0) AS count_closed_deals_competitor_365d,
            (mine_won + 20 * won / closed) / (mine + 20) AS win_rate_competitor_365d
        FROM asked a LEFT JOIN sums USING (competitor_id, as_of)
    """
    _compare(world, "deal_competition", asked, oracle, "win_rate_competitor_365d", "count_closed_deals_competitor_365d")


def test_win_rate_and_bookings_of_an_account(world: Any) -> None:
    keys = "SELECT account_id FROM transactions WHERE account_id IN (SELECT account_id FROM closed) GROUP BY ALL"
    asked = _asked(world, "account_id", keys)
    oracle = """
        WITH mine AS (
            SELECT a.account_id, a.as_of, count(c.status) AS closed, count(*) FILTER (WHERE c.status = 'won') AS won
            FROM asked a LEFT JOIN closed c ON c.account_id = a.account_id AND c.known <= a.as_of GROUP BY ALL
        ), every AS (
            SELECT as_of, count(*) FILTER (WHERE status = 'won') / count(*) AS rate
            FROM (SELECT DISTINCT as_of FROM asked) a JOIN closed c ON c.known <= a.as_of GROUP BY ALL
        ), money AS (
            SELECT a.account_id, a.as_of,
                coalesce(sum(round(amount_usd, 2))
                    FILTER (WHERE t.event_timestamp > a.as_of - INTERVAL 365 DAY), 0) AS usd,
                (floor(epoch(a.as_of)) - max(floor(epoch(t.event_timestamp)))) / 86400 AS days
            FROM asked a LEFT JOIN transactions t ON t.account_id = a.account_id AND t.event_timestamp <= a.as_of
            AND t.created_timestamp <= a.as_of GROUP BY a.account_id, a.as_of
        )
        SELECT m.account_id, m.as_of, won AS count_won_deals_account,
            (won + 5 * rate) / (closed + 5) AS win_rate_account,
            usd AS booked_usd_account_365d, days AS days_since_booking_account
        FROM mine m LEFT JOIN every USING (as_of) JOIN money USING (account_id, as_of)
    """
    names = ("count_won_deals_account", "win_rate_account", "booked_usd_account_365d", "days_since_booking_account")
    _compare(world, "account_history", asked, oracle, *names)


def test_sessions_and_bursts_of_a_lead(world: Any) -> None:
    asked = _asked(world, "lead_id", "SELECT lead_id FROM lead_events GROUP BY ALL HAVING count(*) >= 8")
    oracle = """
        WITH seen AS (
            SELECT a.lead_id, a.as_of, e.event_id, floor(epoch(e.event_timestamp)) AS second,
                e.event_timestamp AS happened
            FROM asked a JOIN lead_events e ON e.lead_id = a.lead_id AND e.event_timestamp <= a.as_of
            AND e.created_timestamp <= a.as_of
        ), begun AS (
            SELECT *, NOT EXISTS (
                FROM seen p WHERE p.lead_id = s.lead_id AND p.as_of = s.as_of AND p.event_id <> s.event_id
                AND p.second <= s.second AND p.second >= s.second - 1800
                AND (p.happened, p.event_id) < (s.happened, s.event_id)) AS begins FROM seen s
        ), sessions AS (
            SELECT lead_id, as_of, happened AS begin_at, (
                SELECT min(n.happened) FROM begun n WHERE n.begins AND n.lead_id = b.lead_id AND n.as_of = b.as_of
                AND n.happened > b.happened) AS next_at
            FROM begun b WHERE begins
        ), bursts AS (
            SELECT s.lead_id, s.as_of, s.begin_at, count(*) AS events, max(e.happened) AS last_at
            FROM sessions s JOIN seen e ON e.lead_id = s.lead_id AND e.as_of = s.as_of AND e.happened >= s.begin_at
            AND (s.next_at IS NULL OR e.happened < s.next_at) GROUP BY ALL
        ), days AS (
            SELECT lead_id, as_of, count(DISTINCT happened::DATE) AS active FROM seen
            WHERE happened > as_of - INTERVAL 30 DAY GROUP BY ALL
        )
        SELECT a.lead_id, a.as_of, coalesce(any_value(active), 0) AS count_active_days_30d,
            count(*) FILTER (WHERE begin_at > a.as_of - INTERVAL 30 DAY) AS count_sessions_30d,
            coalesce(max(events) FILTER (WHERE last_at > a.as_of - INTERVAL 30 DAY), 0) AS max_events_session_30d
        FROM asked a LEFT JOIN bursts USING (lead_id, as_of) LEFT JOIN days USING (lead_id, as_of)
        GROUP BY a.lead_id, a.as_of
    """
    names = ("count_active_days_30d", "count_sessions_30d", "max_events_session_30d")
    _compare(world, "lead_engagement", asked, oracle, *names)


def test_how_long_mails_wait_for_an_answer(world: Any) -> None:
    keys = (
        "SELECT opportunity_id FROM activities WHERE direction = 'inbound' AND opportunity_id IS NOT NULL GROUP BY ALL"
    )
    asked = _asked(world, "opportunity_id", keys)
    oracle = """
        WITH mails AS (
            SELECT a.opportunity_id, a.as_of, direction, event_timestamp AS sent FROM asked a JOIN activities m
            ON m.opportunity_id = a.opportunity_id AND m.kind = 'email' AND m.direction IS NOT NULL
            AND m.event_timestamp <= a.as_of AND m.created_timestamp <= a.as_of
        ), answers AS (
            SELECT m.*, (SELECT b FROM mails b WHERE b.opportunity_id = m.opportunity_id AND b.as_of = m.as_of
                AND (b.sent, b.direction) < (m.sent, m.direction)
                ORDER BY b.sent DESC, b.direction DESC LIMIT 1) AS before
            FROM mails m
        ), waiting AS (
            SELECT *, direction = 'outbound' AND NOT EXISTS (
                FROM mails i WHERE i.opportunity_id = m.opportunity_id AND i.as_of = m.as_of
                AND i.direction = 'inbound' AND i.sent >= m.sent) AS waits FROM answers m
        )
        SELECT a.opportunity_id, a.as_of,
            avg(floor(epoch(sent)) - floor(epoch(before.sent))) FILTER (WHERE direction = 'inbound'
                AND before.direction = 'outbound' AND sent > a.as_of - INTERVAL 90 DAY) / 3600
                AS mean_hours_to_answer_90d,
            count(*) FILTER (WHERE waits) AS count_unanswered_mails
        FROM asked a LEFT JOIN waiting m ON m.opportunity_id = a.opportunity_id AND m.as_of = a.as_of
        GROUP BY a.opportunity_id, a.as_of
    """
    _compare(world, "deal_activity", asked, oracle, "mean_hours_to_answer_90d", "count_unanswered_mails")


def test_a_year_is_365_days_to_the_microsecond(world: Any) -> None:
    (known, event, competitor) = world.execute(
        "SELECT known, event_timestamp, named_before FROM closed WHERE named_before IS NOT NULL ORDER BY known LIMIT 1"
    ).fetchall()[0]
    ends = max(known, event + timedelta(days=365))
    moments = [known - timedelta(microseconds=1), known, ends - timedelta(microseconds=1), ends]
    asked = pa.table({"competitor_id": [competitor] * 4, "as_of": pa.array(moments, UTC_MICROSECONDS)})
    rows = compute(VIEWS["deal_competition"], asked, world).sort_by("event_timestamp").to_pylist()
    before, at, last, gone = (row["count_closed_deals_competitor_365d"] for row in rows)
    assert (before, at) == (0, 1)
    assert last - gone == 1
