"""What a sales leader would recognise: people who come and go, sessions, answers, slips, rivals, habits, mess."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest

from warehouse.simulator import SimulationConfig, simulate
from warehouse.simulator import parameters as p
from warehouse.simulator.moments import Calendar

WORLD = SimulationConfig(years=3, reps=40, leads=8_000, deals=3_000, seed=5)
TRACKED = "('page_view', 'pricing_view', 'content_download', 'email_open', 'email_click')"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recognised")
    simulate(WORLD, landing=folder / "landing", truth=folder / "truth")
    return folder


@pytest.fixture(scope="module")
def sql(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        for file in folder.glob("*/*.parquet"):
            connection.execute(f"CREATE TABLE {file.stem} AS FROM '{file}'")
        yield connection


def one(sql: duckdb.DuckDBPyConnection, query: str) -> float:
    return float(sql.execute(query).fetchall()[0][0])


def by_name(sql: duckdb.DuckDBPyConnection, query: str) -> dict[str, float]:
    return {name: float(value) for name, value in sql.execute(query).fetchall()}


STEPS = """
    SELECT *, list_position(['Prospecting', 'Qualification', 'Proposal', 'Negotiation'], stage) AS step,
           lag(close_date) OVER w AS close_before, lag(amount_usd) OVER w AS amount_before,
           lag(list_position(['Prospecting', 'Qualification', 'Proposal', 'Negotiation'], stage)) OVER w AS step_before
    FROM opportunities WINDOW w AS (PARTITION BY opportunity_id ORDER BY event_timestamp)
"""


# --- The organisation -------------------------------------------------------------------------------------------------
def test_reps_are_hired_leave_and_get_another_lead(sql: duckdb.DuckDBPyConnection) -> None:
    assert one(sql, f"SELECT count(*) FROM reps WHERE hired_at > TIMESTAMPTZ '{WORLD.start}'") > 0
    assert one(sql, "SELECT count(*) FROM reps WHERE NOT is_active") > 0
    managers = "SELECT rep_id, count(DISTINCT manager_id) AS n FROM reps WHERE is_active GROUP BY 1"
    assert one(sql, f"SELECT count(*) FROM ({managers}) WHERE n = 2") > 0


def test_a_promoted_rep_leads_the_own_team_and_reports_to_the_one_before(sql: duckdb.DuckDBPyConnection) -> None:
    later = "SELECT * FROM reps QUALIFY row_number() OVER (PARTITION BY rep_id ORDER BY event_timestamp DESC) = 1"
    rows = sql.execute(
        f"WITH last AS ({later}) SELECT m.team = l.team, m.is_active, a.manager_id IS NULL FROM last l "
        "JOIN last m ON l.manager_id = m.rep_id LEFT JOIN last a ON m.manager_id = a.rep_id "
        "WHERE m.manager_id IS NOT NULL"
    ).fetchall()
    assert rows
    assert set(rows) == {(True, True, True)}


def test_accounts_are_moved_as_a_year_begins_and_their_open_deals_go_along(sql: duckdb.DuckDBPyConnection) -> None:
    moved = (
        "SELECT account_id, rep_id, event_timestamp AS moment, lag(rep_id) OVER w AS previous FROM accounts "
        "WINDOW w AS (PARTITION BY account_id ORDER BY event_timestamp)"
    )
    first_monday = "month(moment) = 1 AND day(moment) <= 7 AND hour(moment) = 8"
    january = f"SELECT * FROM ({moved}) WHERE previous <> rep_id AND {first_monday}"
    share = one(sql, f"SELECT count(*) / (SELECT count(DISTINCT account_id) FROM accounts) FROM ({january})")
    assert 0.03 < share < 2 * p.MOVED_ACCOUNTS
    handed = f"FROM ({january}) m JOIN opportunities o ON o.account_id = m.account_id AND o.event_timestamp = m.moment"
    assert one(sql, f"SELECT count(*) {handed}") > 0
    assert one(sql, f"SELECT count(*) {handed} WHERE o.rep_id <> m.rep_id OR o.status <> 'open'") == 0


def test_a_deal_belongs_to_the_owner_of_its_account(sql: duckdb.DuckDBPyConnection) -> None:
    owner = "SELECT account_id, rep_id AS owner, event_timestamp AS since FROM accounts"
    query = (
        f"SELECT count(*) FILTER (o.rep_id <> a.owner) / count(*) FROM opportunities o ASOF JOIN ({owner}) a "
        "ON o.account_id = a.account_id AND o.event_timestamp >= a.since"
    )
    assert one(sql, query) == 0


def test_campaigns_cost_about_the_same_per_lead_in_every_world(sql: duckdb.DuckDBPyConnection) -> None:
    cost = "SELECT sum(c) FROM (SELECT max(cost_usd) AS c FROM campaigns GROUP BY campaign_id)"
    assert one(sql, cost) / WORLD.leads == pytest.approx(p.CAMPAIGN_COST_PER_LEAD_USD, rel=0.3)


# --- Leads ------------------------------------------------------------------------------------------------------------
def test_leads_act_in_bursts_minutes_apart_with_days_of_silence_between(sql: duckdb.DuckDBPyConnection) -> None:
    gaps = (
        "SELECT epoch(event_timestamp - lag(event_timestamp) OVER (PARTITION BY lead_id ORDER BY event_timestamp)) "
        "AS s FROM lead_events WHERE kind NOT IN ('email_open', 'email_click', 'email_reply')"
    )
    minutes, hours, days = sql.execute(
        f"SELECT avg((s < 900)::INT), avg((s BETWEEN 900 AND 28800)::INT), avg((s > 28800)::INT) FROM ({gaps}) "
        "WHERE s IS NOT NULL"
    ).fetchall()[0]
    assert minutes > 0.4
    assert days > 0.3
    assert hours < 0.1


def test_mails_are_opened_in_the_hours_after_they_were_sent(sql: duckdb.DuckDBPyConnection) -> None:
    letters = (
        "SELECT o.lead_id FROM lead_events o JOIN activities m ON m.lead_id = o.lead_id AND m.kind = 'email' "
        "AND m.direction = 'outbound' AND o.event_timestamp BETWEEN m.event_timestamp AND m.event_timestamp + INTERVAL "
        "4 DAY WHERE o.kind = 'email_open'"
    )
    tuesday = "isodow(event_timestamp) IN (2, 3)"
    opened = one(sql, "SELECT count(*) FROM lead_events WHERE kind = 'email_open'")
    assert one(sql, f"SELECT count(*) FROM lead_events WHERE kind = 'email_open' AND {tuesday}") / opened > 0.6
    assert one(sql, f"SELECT count(*) FROM ({letters})") / opened > 0.2


def test_every_click_follows_an_open_and_brings_a_page_view(sql: duckdb.DuckDBPyConnection) -> None:
    clicks = one(sql, "SELECT count(*) FROM lead_events WHERE kind = 'email_click'")
    for kind, place in (
        ("email_open", "c.event_timestamp - INTERVAL 3 MINUTE AND c.event_timestamp"),
        ("page_view", "c.event_timestamp AND c.event_timestamp + INTERVAL 10 SECOND"),
    ):
        found = one(
            sql,
            "SELECT count(*) FROM lead_events c SEMI JOIN lead_events o ON c.lead_id = o.lead_id AND "
            f"o.kind = '{kind}' AND o.event_timestamp BETWEEN {place} WHERE c.kind = 'email_click'",
        )
        assert found / clicks > 0.98


def test_most_emails_of_leads_reply_to_one_of_the_reps(sql: duckdb.DuckDBPyConnection) -> None:
    inbound = "SELECT * FROM activities WHERE lead_id IS NOT NULL AND kind = 'email' AND direction = 'inbound'"
    answered = one(
        sql,
        f"SELECT count(*) FROM ({inbound}) i SEMI JOIN activities m ON m.lead_id = i.lead_id AND m.kind = 'email' AND "
        "m.direction = 'outbound' AND i.event_timestamp BETWEEN m.event_timestamp "
        "AND m.event_timestamp + INTERVAL 3 DAY",
    )
    assert answered / one(sql, f"SELECT count(*) FROM ({inbound})") > 0.6


def test_nothing_is_tracked_while_tracking_is_down(sql: duckdb.DuckDBPyConnection) -> None:
    outages = Calendar.of(WORLD).outages
    assert len(outages) == WORLD.years
    moment = "epoch_us(event_timestamp)"
    for begin, end in outages:
        inside = f"FROM lead_events WHERE {moment} >= {begin} AND {moment} < {end}"
        assert one(sql, f"SELECT count(*) {inside} AND kind IN {TRACKED}") == 0
        assert one(sql, f"SELECT count(*) {inside} AND kind = 'form_submission'") > 0


# --- Deals ------------------------------------------------------------------------------------------------------------
def test_deals_fall_back_as_often_as_the_parameters_say(sql: duckdb.DuckDBPyConnection) -> None:
    back = sql.execute(f"SELECT step_before, count(*) FROM ({STEPS}) WHERE step < step_before GROUP BY 1").fetchall()
    weeks = sql.execute(
        "WITH mondays AS (SELECT opportunity_id, as_of FROM deal_truth WHERE NOT is_opening) SELECT step, count(*) "
        f"FROM mondays m ASOF JOIN (SELECT opportunity_id, event_timestamp, step FROM ({STEPS})) v "
        "ON m.opportunity_id = v.opportunity_id AND m.as_of >= v.event_timestamp WHERE step IS NOT NULL GROUP BY 1"
    ).fetchall()
    open_weeks = dict(weeks)
    for step, fell in back:
        assert fell / open_weeks[step] == pytest.approx(p.DEAL_REGRESS[int(step) - 1], rel=0.3)
    assert sorted(step for step, _ in back) == [2, 3, 4]


def test_close_dates_slip_again_and_again_most_of_all_as_a_quarter_ends(sql: duckdb.DuckDBPyConnection) -> None:
    slips = f"SELECT *, close_date > close_before AS slipped FROM ({STEPS}) WHERE status = 'open'"
    per_deal = f"SELECT opportunity_id, count(*) FILTER (slipped) AS n FROM ({slips}) GROUP BY 1"
    assert one(sql, f"SELECT avg(n) FROM ({per_deal})") > 0.7
    assert one(sql, f"SELECT count(*) FILTER (n > 1) / count(*) FILTER (n > 0) FROM ({per_deal})") > 0.3
    late, usual = (
        one(sql, f"SELECT count(*) FILTER (slipped) / {days} FROM ({slips}) WHERE {ends}")
        for ends, days in (
            ("month(event_timestamp) % 3 = 0 AND day(event_timestamp) > 16", 14.5 * 4),
            ("NOT (month(event_timestamp) % 3 = 0 AND day(event_timestamp) > 16)", 365 - 14.5 * 4),
        )
    )
    assert late > 1.3 * usual


def test_prices_fall_late_and_most_at_the_end_of_a_quarter(sql: duckdb.DuckDBPyConnection) -> None:
    falls = by_name(
        sql,
        f"SELECT step_before, count(*) FILTER (amount_usd < amount_before) / count(*) FROM ({STEPS}) "
        "WHERE status = 'open' AND step = step_before GROUP BY 1",
    )
    assert falls[4] > 2 * max(falls[1], falls[2], falls[3])
    booked = one(
        sql, f"SELECT avg(1 - amount_usd / amount_before) FROM ({STEPS}) WHERE status = 'won' AND amount_before > 0"
    )
    assert booked == pytest.approx(p.DISCOUNT_MOST / 2 + 0.01, abs=0.02)


def test_a_competitor_may_become_known_in_mid_deal_and_stays_known(sql: duckdb.DuckDBPyConnection) -> None:
    first = (
        "SELECT opportunity_id, min_by(competitor IS NULL, event_timestamp) AS clear_at_first, "
        "count(DISTINCT competitor) AS n FROM opportunities GROUP BY 1"
    )
    assert one(sql, f"SELECT count(*) FROM ({first}) WHERE clear_at_first AND n = 1") > 300
    assert one(sql, f"SELECT count(*) FROM ({first}) WHERE n > 1") == 0


def test_what_is_agreed_falls_on_working_days_and_is_mostly_kept(sql: duckdb.DuckDBPyConnection) -> None:
    assert one(sql, "SELECT count(*) FROM opportunities WHERE isodow(next_step_date) > 5") == 0
    kept, chance = (
        one(
            sql,
            "SELECT avg((EXISTS (FROM activities a WHERE a.opportunity_id = o.opportunity_id AND a.kind IN ('call', "
            f"'meeting', 'demo') AND a.event_timestamp::DATE = o.next_step_date + {shift}))::INT) FROM opportunities o "
            "WHERE status = 'open' AND next_step_date IS NOT NULL AND isodow(next_step_date) < 4",
        )
        for shift in (0, 1)
    )
    assert kept > 1.4 * chance


def test_meetings_are_followed_by_an_email_within_a_day(sql: duckdb.DuckDBPyConnection) -> None:
    met = "SELECT * FROM activities WHERE opportunity_id IS NOT NULL AND kind IN ('meeting', 'demo')"
    followed = one(
        sql,
        f"SELECT count(*) FROM ({met}) m SEMI JOIN activities e ON e.opportunity_id = m.opportunity_id AND e.kind = "
        "'email' AND e.direction = 'outbound' AND e.event_timestamp BETWEEN m.event_timestamp AND m.event_timestamp + "
        "INTERVAL 26 HOUR",
    )
    share = followed / one(sql, f"SELECT count(*) FROM ({met})")
    assert p.FOLLOW_UP - 0.1 < share < p.FOLLOW_UP + 0.2


def test_what_sandbaggers_commit_is_won_more_often_than_what_optimists_commit(sql: duckdb.DuckDBPyConnection) -> None:
    won = "SELECT opportunity_id, max((status = 'won')::INT) AS won FROM opportunities GROUP BY 1"
    calls = (
        "SELECT DISTINCT opportunity_id, habit FROM opportunities JOIN rep_truth USING (rep_id) "
        "WHERE forecast_category = 'commit'"
    )
    rate = by_name(sql, f"SELECT habit, avg(won) FROM ({calls}) JOIN ({won}) USING (opportunity_id) GROUP BY 1")
    assert rate["sandbagger"] > rate["sober"] > rate["optimist"]
    share = by_name(
        sql,
        "SELECT habit, avg((forecast_category = 'commit')::INT) FROM opportunities JOIN rep_truth USING (rep_id) "
        "WHERE status = 'open' GROUP BY 1",
    )
    assert share["optimist"] > share["sober"] > share["sandbagger"] > 0


# --- Customers --------------------------------------------------------------------------------------------------------
def test_customers_buy_again_and_stop_when_they_leave(sql: duckdb.DuckDBPyConnection) -> None:
    left = "FROM customer_truth WHERE left_at IS NOT NULL"
    assert one(sql, f"SELECT count(*) {left}") / one(sql, "SELECT count(*) FROM customer_truth") > 0.08
    bought = f"FROM transactions t JOIN (SELECT * {left}) c USING (account_id) WHERE t.event_timestamp > c.left_at"
    assert one(sql, f"SELECT count(*) {bought} AND t.kind = 'renewal'") == 0
    opened = (
        "SELECT opportunity_id, account_id, min(opened_at) AS opened FROM opportunities "
        "WHERE deal_type = 'expansion' GROUP BY ALL"
    )
    again = f"FROM ({opened}) o JOIN customer_truth c USING (account_id)"
    assert one(sql, f"SELECT count(*) {again} WHERE opened > left_at + INTERVAL 7 DAY") == 0
    assert one(sql, f"SELECT count(*) {again} WHERE opened < customer_since_at - INTERVAL 7 DAY") == 0
    assert one(sql, f"SELECT count(*) {again}") > 100


def test_a_few_customers_buy_again_and_again(sql: duckdb.DuckDBPyConnection) -> None:
    rows = sql.execute(
        "SELECT count(DISTINCT opportunity_id) FROM customer_truth LEFT JOIN opportunities ON "
        "customer_truth.account_id = opportunities.account_id AND deal_type = 'expansion' "
        "GROUP BY customer_truth.account_id"
    ).fetchall()
    number = np.sort([row[0] for row in rows])[::-1]
    assert number[: len(number) // 5].sum() > 0.55 * number.sum()


# --- Mess -------------------------------------------------------------------------------------------------------------
def test_lazy_reps_leave_more_out_and_enter_later(sql: duckdb.DuckDBPyConnection) -> None:
    lazy = (
        "SELECT rep_id, CASE WHEN diligence < (SELECT median(diligence) FROM rep_truth) THEN 'lazy' ELSE 'keen' END "
        "AS kind FROM rep_truth"
    )
    missing = by_name(
        sql, f"SELECT kind, avg((employee_count IS NULL)::INT) FROM leads JOIN ({lazy}) USING (rep_id) GROUP BY 1"
    )
    late = by_name(
        sql,
        "SELECT k.kind, avg((created_timestamp > event_timestamp + INTERVAL 1 DAY)::INT) FROM activities "
        f"JOIN ({lazy}) k USING (rep_id) GROUP BY 1",
    )
    assert missing["lazy"] > 1.15 * missing["keen"]
    assert late["lazy"] > 1.15 * late["keen"]


def test_the_same_person_comes_twice_with_variations(sql: duckdb.DuckDBPyConnection) -> None:
    given_up = "SELECT DISTINCT lead_id FROM leads WHERE disqualified_reason = 'duplicate'"
    domain = "split_part(email, '@', 2)"
    profile = f"SELECT DISTINCT lead_id, email, {domain} AS domain, title, industry FROM leads WHERE email IS NOT NULL"
    pairs = (
        f"SELECT d.lead_id, bool_or(d.email = o.email) AS same, bool_or(d.email[1] = o.email[1] AND d.email <> o.email "
        f"AND regexp_extract(d.email, '\\.(\\w+)@', 1) = regexp_extract(o.email, '\\.(\\w+)@', 1)) AS varied "
        f"FROM ({profile}) d SEMI JOIN ({given_up}) g USING (lead_id) JOIN ({profile}) o ON d.domain = o.domain AND "
        "o.lead_id < d.lead_id GROUP BY 1"
    )
    pairs = pairs.replace("SEMI JOIN", "JOIN").replace("USING (lead_id)", "ON g.lead_id = d.lead_id")
    same, varied = sql.execute(f"SELECT avg(same::INT), avg(varied::INT) FROM ({pairs})").fetchall()[0]
    assert same == pytest.approx(1 - p.DUPLICATE_OTHER_ADDRESS, abs=0.12)
    assert varied == pytest.approx(p.DUPLICATE_OTHER_ADDRESS, abs=0.12)


def test_company_names_are_mistyped_in_several_ways(sql: duckdb.DuckDBPyConnection) -> None:
    """Clean names are a stem and a middle in one word and a legal form: 'Alderbridge Ltd'."""
    names = "SELECT DISTINCT lead_id, company_name AS name FROM leads"
    lower, bare = sql.execute(
        f"SELECT avg((name = lower(name))::INT), avg((name NOT LIKE '% %')::INT) FROM ({names})"
    ).fetchall()[0]
    assert lower == pytest.approx(p.TYPO / 5, abs=0.004)
    assert bare == pytest.approx(p.TYPO / 5, abs=0.004)
