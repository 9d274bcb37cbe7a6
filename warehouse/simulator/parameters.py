"""Every number of the simulated world, in one place. Rates are per day for leads and per week for deals.

Each group says where its numbers come from: *measured* on one of the public sets in ../shared/data, *published* with an
address, or *our assumption*. The numbers are not estimates of any one company. They were set so that funnel rates,
cycle lengths and the strength of the signal look like those that sales teams report: about one lead in ten converts
within 90 days, three deals in ten are won after two to three months, and somebody who knew everything would rank
outcomes with an AUC near 0.8. docs/simulator.md shows the groups as a table and compares what comes out with the sets.
"""

from __future__ import annotations

import numpy as np

# --- Time -------------------------------------------------------------------------------------------------------------
# Source: measured. WEEKDAY_ARRIVALS after the first contacts of olist (Monday to Sunday 0.187, 0.182, 0.186, 0.169,
# 0.144, 0.066, 0.066 of all), with somewhat less on weekends because marketstar's opportunities are opened Monday to
# Friday only. Season, growth, hours and WEEKDAY_CONVERSION: our assumption (quarters and years end strong, summer and
# Christmas are slow).
GROWTH_PER_YEAR = 0.12
"""Yearly growth of arrivals."""
MONTH_ARRIVALS = np.array([0.92, 1.0, 1.07, 1.0, 1.03, 1.0, 0.88, 0.84, 1.08, 1.1, 1.08, 0.84])
"""Arrivals by month, January first."""
MONTH_CLOSING = np.array([0.86, 0.95, 1.06, 0.95, 1.0, 1.08, 0.9, 0.84, 1.08, 1.04, 1.1, 1.18])
"""How readily buyers move on, by month."""
WEEKDAY_ARRIVALS = np.array([1.15, 1.2, 1.15, 1.05, 0.85, 0.28, 0.32])
"""Leads arriving by weekday, Monday first."""
WEEKDAY_CONVERSION = np.array([1.2, 1.25, 1.25, 1.2, 0.9, 0.05, 0.9])
"""Lead conversion by the weekday on which the 24 hours begin: the day that begins on a Sunday is mostly Monday."""
WEEKDAY_BEHAVIOUR = np.array([1.0, 1.0, 1.0, 0.95, 0.75, 0.35, 0.5])
"""Lead behaviour by weekday."""
BUSINESS_HOURS = (8.0, 18.0)
"""Working day, UTC; moments are uniform in it, Monday to Friday."""

# --- Organisation -----------------------------------------------------------------------------------------------------
# Source: LEAVERS_PER_YEAR published: voluntary turnover of inside sales teams of 9.3 % to 13.6 % a year (CSO Insights
# 2015, in https://blog.hubspot.com/sales/3-inside-sales-benchmarks-to-gauge-the-health-of-your-team); surveys that
# count every departure say about 35 % (https://mapmycustomers.com/2021/11/04/average-sales-turnover-rates/). The
# rest: our assumption.
TEAMS: tuple[tuple[str, str], ...] = (
    ("Americas East", "Americas"),
    ("Americas West", "Americas"),
    ("Americas South", "Americas"),
    ("EMEA North", "EMEA"),
    ("EMEA South", "EMEA"),
    ("EMEA Central", "EMEA"),
    ("APAC Pacific", "APAC"),
    ("APAC Asia", "APAC"),
)
REGIONS = ("Americas", "EMEA", "APAC")
REGION_SHARE = np.array([0.42, 0.36, 0.22])
COUNTRIES: tuple[tuple[str, int, float], ...] = (
    ("US", 0, 0.7), ("CA", 0, 0.14), ("BR", 0, 0.09), ("MX", 0, 0.07),
    ("DE", 1, 0.26), ("GB", 1, 0.26), ("FR", 1, 0.18), ("NL", 1, 0.12), ("SE", 1, 0.09), ("PL", 1, 0.09),
    ("AU", 2, 0.36), ("JP", 2, 0.24), ("SG", 2, 0.2), ("IN", 2, 0.2),
)  # fmt: skip
"""Country, index of its region, share within the region."""
TERRITORIES_PER_REGION = 4
HIRED_BEFORE_START = 0.7
"""Share of the reps who are there on the first day."""
LEAVERS_PER_YEAR = 0.12
"""Share of the reps, team leads aside, who leave in a year."""
PROMOTIONS = 0.4
"""Share of the teams that get another lead from among their members; the first one then stands above."""
MOVED_ACCOUNTS = 0.08
"""Share of the accounts that go to another rep of the region as each year begins, once each."""
DILIGENCE_SD = 0.25
LAZINESS_POWER = 1.5
"""A lazy rep leaves out and enters late diligence**-1.5 times as much as others."""
SKILL_SD = 1.0
"""Reps' skill is standard normal; it enters outcomes through LEAD_SKILL and DEAL_SKILL."""

# --- Products, campaigns ----------------------------------------------------------------------------------------------
# Source: our assumption. Competitors' shares and effects are set so that competition tells won from lost deals about
# as much as the company's profile does.
PRODUCTS: tuple[tuple[str, str, float, float, float, float], ...] = (
    ("Ledger Start", "Ledger", 6_000.0, 0.30, 1.25, 0.3),
    ("Ledger Pro", "Ledger", 14_000.0, 0.26, 1.0, 0.05),
    ("Ledger Enterprise", "Ledger", 29_000.0, 0.12, 0.78, -0.4),
    ("Signal Analytics", "Signal", 11_000.0, 0.2, 1.05, 0.15),
    ("Signal Suite", "Signal", 21_000.0, 0.12, 0.88, -0.25),
    ("Beacon", "Beacon", 9_000.0, 0.0, 1.15, 0.35),
)
"""Name, family, list price in USD, share of deals, speed, effect on winning. Beacon comes with `new-product`."""
BEACON_SHARE = 0.3
CHANNELS = ("paid_search", "webinar", "trade_show", "social", "list_purchase")
CAMPAIGN_EFFECT_SD = 0.2
COMPETITORS = ("", "Northgate", "Plumline", "Okapi Systems", "in-house")
COMPETITOR_SHARE = np.array([0.45, 0.2, 0.15, 0.1, 0.1])
COMPETITOR_EFFECT = np.array([0.35, -0.7, -0.25, -0.5, -0.1])
COMPETITOR_KNOWN_AT_OPENING = 0.4
COMPETITOR_FOUND_PER_WEEK = 0.15
RIVAL_ENTERS = 0.012
"""Chance per week that a rival appears in a deal that had none; its effect is that of a competitor from the start."""
CAMPAIGN_COST_PER_LEAD_USD = 40.0
"""Cost of all campaigns per lead; campaigns bring about six leads in ten."""

# --- Profiles of companies and people ---------------------------------------------------------------------------------
# Source: SOURCES after olist's origins (organic 0.29, paid search 0.20, social 0.17, referral 0.04, measured) with
# the B2B channels added. MISSING_TITLE, MISSING_INDUSTRY and MISSING_EMPLOYEES somewhat below marketstar's 0.21, 0.29
# and 0.35 (measured). DUPLICATES below what audits publish (5 % in most CRMs,
# https://alumo-website.pages.dev/blog/article/crm-data-quality-checklist?lang=en), because only those that repeat
# within weeks are made. Shares, fit, typing errors and outages: our assumption.
INDUSTRIES: tuple[tuple[str, float, float, str], ...] = (
    ("Manufacturing", 0.16, 0.35, "manufacturing"),
    ("Financial Services", 0.12, 0.45, "Fin. Services"),
    ("Software", 0.16, 0.3, "software"),
    ("Healthcare", 0.1, 0.1, "Health Care"),
    ("Retail", 0.12, -0.1, "retail"),
    ("Logistics", 0.09, 0.2, "Logistic"),
    ("Education", 0.08, -0.6, "education"),
    ("Media", 0.07, -0.25, "Media & Ent."),
    ("Public Sector", 0.05, -0.5, "Government"),
    ("Construction", 0.05, -0.2, "construction"),
)
"""Name, share, fit, and how a careless hand writes it."""
LOG_EMPLOYEES = (4.6, 1.35)
"""Mean and spread of the natural logarithm of the number of employees."""
BEST_LOG_EMPLOYEES = 5.6
SIZE_FIT = (0.25, -0.09)
"""Highest effect of company size on fit and how it falls with the squared distance from the best size."""
SOURCES: tuple[tuple[str, float, float], ...] = (
    ("organic_search", 0.24, 0.1),
    ("paid_search", 0.2, -0.05),
    ("referral", 0.07, 0.75),
    ("partner", 0.07, 0.5),
    ("webinar", 0.12, 0.15),
    ("trade_show", 0.09, -0.1),
    ("social", 0.11, -0.4),
    ("list_purchase", 0.1, -0.9),
)
"""Name, share, effect on intent."""
ENTERED_BY_HAND = ("trade_show", "list_purchase")
"""Sources whose leads fill in no form, and which are partly loaded days later."""
LANDING_PAGES: tuple[tuple[str, float, float], ...] = (
    ("/home", 0.26, 0.0),
    ("/pricing", 0.12, 0.55),
    ("/demo", 0.08, 0.75),
    ("/blog", 0.26, -0.3),
    ("/whitepaper", 0.16, -0.1),
    ("/product", 0.12, 0.2),
)
TITLES: tuple[tuple[str, float, float], ...] = (
    ("Chief Financial Officer", 0.06, 0.4),
    ("VP Finance", 0.1, 0.45),
    ("Director of Operations", 0.14, 0.3),
    ("Finance Manager", 0.24, 0.1),
    ("Business Analyst", 0.2, -0.1),
    ("IT Specialist", 0.16, -0.25),
    ("Student", 0.06, -1.3),
    ("Consultant", 0.04, -0.4),
)
MISSING_INDUSTRY, MISSING_EMPLOYEES, MISSING_TITLE, MISSING_EMAIL = 0.12, 0.25, 0.1, 0.04
MISSING_REVENUE, MISSING_NEXT_STEP = 0.3, 0.06
MESSY_INDUSTRY, MESSY_COUNTRY, TYPO = 0.04, 0.03, 0.03
DUPLICATES = 0.02
"""Share of the leads that repeat an earlier one; they never convert."""
DUPLICATE_OTHER_ADDRESS = 0.4
OUTAGE_DAYS = (3.0, 7.0)
"""Length of the yearly spell in which web and mail tracking was down."""

# --- Leads: a hidden chain of intent ----------------------------------------------------------------------------------
# Source: rates of the chain are set so that one lead in ten converts within 90 days: olist 10.5 % of 8 000
# (measured), marketstar 2.5 %. NEWSLETTER_OPENED and MAIL_CLICKED: published averages are 22 % opened and 2.9 %
# clicked (https://mailchimp.com/resources/email-marketing-benchmarks/, as of 2019), between our dormant and our
# interested leads. How strongly behaviour follows the state, and reply rates: our assumption.
LEAD_STATES = ("dormant", "aware", "interested", "evaluating")
LEAD_DAYS = 180
"""A lead's chain runs this long; afterwards it stays as it is."""
LEAD_HORIZON_DAYS = 90
LEAD_TRUTH_DAYS = (0, 1, 3, 7, 14, 30, 60)
LEAD_START = np.array([0.52, 0.33, 0.12, 0.03])
"""Chances of the first state for a lead of quality 0; quality tilts them by LEAD_START_TILT per state."""
LEAD_START_TILT = 0.35
LEAD_UP = np.array([0.006, 0.016, 0.034, 0.0])
LEAD_DOWN = np.array([0.0, 0.05, 0.07, 0.07])
LEAD_CONVERT = np.array([0.00025, 0.0009, 0.0038, 0.019])
LEAD_DISQUALIFY = np.array([0.0085, 0.006, 0.004, 0.002])
LEAD_DUPLICATE_DISQUALIFY = 0.08
LEAD_UP_QUALITY, LEAD_CONVERT_QUALITY, LEAD_DISQUALIFY_QUALITY = 0.5, 0.5, -0.35
"""How strongly quality moves each rate (log scale)."""
LEAD_LATENT_SD = 0.45
"""What no column tells about a lead."""
LEAD_SKILL = 0.22
LEAD_SESSIONS = np.array([0.006, 0.042, 0.137, 0.286])
"""Sessions per day by state."""
LEAD_EVENTS_PER_SESSION = 1.4
"""Mean number of further events in a session."""
PAGE_GAP_SECONDS = 100.0
"""Mean time between the events of a session."""
LEAD_EVENT_MIX = np.array([
    # page, pricing, open, click, reply, download, webinar, demo, form, social
    [0.60, 0.020, 0.0, 0.0, 0.0, 0.100, 0.04, 0.000, 0.04, 0.200],
    [0.67, 0.064, 0.0, 0.0, 0.0, 0.127, 0.05, 0.005, 0.04, 0.044],
    [0.57, 0.164, 0.0, 0.0, 0.0, 0.149, 0.05, 0.018, 0.04, 0.012],
    [0.45, 0.313, 0.0, 0.0, 0.0, 0.089, 0.03, 0.075, 0.03, 0.015],
])  # fmt: skip
"""Kinds of events of a session by state, in the order of LEAD_EVENT_KINDS; what answers a mail comes apart."""
NEWSLETTER_DAY, NEWSLETTER_HOUR = 1, 9.5
"""The weekly mailing goes out on Tuesdays at 09:30 UTC."""
NEWSLETTER_OPENED = np.array([0.08, 0.25, 0.45, 0.55])
"""Chance by state that a mailing is opened."""
LETTER_OPENED = np.array([0.2, 0.45, 0.7, 0.85])
"""Chance by state that a rep's own email is opened."""
MAIL_CLICKED = np.array([0.12, 0.25, 0.42, 0.6])
"""Chance by state that an opened mail is clicked."""
OPENED_HOURS = (1.0, 1.2)
"""Hours from sending to opening: mean and spread of the logarithm."""
LEAD_REPLY = np.array([0.02, 0.08, 0.25, 0.45])
"""Chance by state that a rep's email is replied to."""
REPLY_HOURS = (1.8, 1.0)
"""Hours until a reply, of leads and of customers: mean and spread of the logarithm."""
LEAD_EARLIER_SESSIONS = np.array([0.2, 0.5, 1.0, 1.6])
"""Anonymous sessions of the two weeks before the first contact, known once the lead is."""
LEAD_TOUCHED = 0.93
LEAD_TOUCH_HOURS = (1.9, 1.1)
"""Hours until the first touch: mean and spread of the logarithm."""
LEAD_QUALIFY = np.array([0.001, 0.008, 0.07, 0.16])
"""Chance per day, by state, that a rep marks the lead as qualified."""
LEAD_ACTIVITIES = np.array([0.02, 0.05, 0.1, 0.2])
LEAD_ACTIVITY_FADE_DAYS = 35.0
LEAD_ACTIVITY_MIX = np.array([
    # email, call, meeting, demo, task
    [0.60, 0.30, 0.00, 0.00, 0.10],
    [0.55, 0.33, 0.02, 0.01, 0.09],
    [0.45, 0.35, 0.08, 0.04, 0.08],
    [0.38, 0.30, 0.16, 0.09, 0.07],
])  # fmt: skip
LEAD_INBOUND = np.array([0.01, 0.04, 0.12, 0.22])
LEAD_REACHED = np.array([0.08, 0.25, 0.5, 0.7])
"""Chance that a touch reaches the person."""

# --- Deals: weekly steps through the stages, with hidden momentum -----------------------------------------------------
# Source: the win rate lies between bpic2012's (17 % of the submitted, measured) and maven_crm's (63 % of the closed,
# measured); 20 % to 30 % within two to three months are published for amounts of 10 000 to 25 000 USD
# (https://firstsales.io/sales/glossary/average-sales-cycle); maven_crm's median to a win is 57 days (measured).
# STAGES, STAGE_PROBABILITY and forecast categories as CRMs ship them
# (https://salesforcedictionary.com/interview/admin/opportunity-stage-forecast-probability). Going back, momentum,
# rivals, slips, concessions, what reps enter and how they call deals: our assumption, after what sales managers
# describe.
STAGES = ("Prospecting", "Qualification", "Proposal", "Negotiation")
WON_STAGE, LOST_STAGE = "Closed Won", "Closed Lost"
STAGE_PROBABILITY = np.array([0.1, 0.25, 0.45, 0.7])
"""The CRM's default probability of each stage; 'Closed' stages have 1 and 0."""
DEAL_WEEKS = 104
"""A deal that is open for so many Mondays is lost that week: cleaned up."""
DEAL_HORIZON_STEPS = 26
"""Weekly steps that 180 days cover."""
DEAL_HORIZON_DAYS = 180
DEAL_ADVANCE = np.array([0.25, 0.225, 0.215, 0.22])
DEAL_LOSE = np.array([0.038, 0.043, 0.048, 0.05])
DEAL_REGRESS = np.array([0.0, 0.015, 0.02, 0.025])
STALLED_ADVANCE, STALLED_LOSE = 0.18, 2.4
STALL, REVIVE = 0.06, 0.045
"""Chances per week that momentum is lost and found again, at quality 0."""
STALLED_AT_OPENING = 0.35
DEAL_ADVANCE_QUALITY, DEAL_LOSE_QUALITY, DEAL_MOMENTUM_QUALITY = 0.3, -0.62, 0.3
DEAL_LATENT_SD = 0.3
DEAL_SKILL = 0.3
DEAL_FIT = 0.85
DEAL_LEAD_QUALITY = 0.25
DEAL_AMOUNT_EFFECT = -0.16
EXPANSION_EFFECT = 0.55
QUARTER_END_WEEKS, QUARTER_START_WEEKS = 2, 2
QUARTER_END_CLOSE, QUARTER_START_CLOSE = 1.5, 0.75
"""Negotiations close more readily at the end of a quarter, less so at its start."""
MOST_ADVANCE, MOST_LOSE = 0.72, 0.25
"""Ceilings of the weekly chances."""
MIGRATED_SHARE = 0.065
"""Share of the deals that stand, half way, in the CRM on the first days: the backlog loaded when it went live."""
MIGRATED_STAGES = np.array([0.3, 0.27, 0.23, 0.2])
EXPANSION_SHARE = 0.36
"""Share of the deals without a lead that extend what a customer has."""
INSTALLED_BASE_SHARE = 0.05
"""Customers on the first day, as a share of the number of deals."""
LOG_UNITS = (0.5, 0.42)
UNITS_SIZE = 0.24
"""How units grow with the logarithm of the company's size."""

# What reps enter.
CYCLE_DAYS = 75.0
CLOSE_DATE_OPTIMISM = 0.85
CLOSE_DATE_AT_PERIOD_END = (0.4, 0.15)
"""Shares of the close dates that people put on the end of the month and of the quarter."""
SLIP = (0.72, 0.95)
"""Chance that a close date which is near slips: in a usual week, and in the last weeks of a quarter."""
PULL_IN, AMOUNT_CHANGE, REQUOTE = 0.2, 0.04, 0.45
CONCESSION = (0.16, 0.3)
"""Chance per week of a concession on the price in Negotiation: in a usual week, at the end of a quarter."""
CONCESSION_SIZE = (0.02, 0.08)
NEXT_STEP = (0.12, 0.6)
"""Chance per week of a new next step, stalled and with momentum."""
PERCEPTION_REFRESH = 0.22
REP_HABITS = (0.55, 0.2, 0.25)
"""Shares of reps who call deals as they are, of sandbaggers and of optimists."""
HABIT_OPTIMISM = (0.0, -0.1, 0.1)
"""What a habit adds to what a rep believes; close dates are set earlier by the same factor."""
REP_OPTIMISM_SD, PERCEPTION_SD, PERCEPTION_WEIGHT = 0.08, 0.1, 0.25
COMMIT_FROM, COMMIT_STAGE = (0.62, 0.72, 0.5), (2, 3, 2)
"""By habit: the belief and the stage (counted from 0) from which a deal is called commit."""
BEST_CASE_FROM, OMIT_BELOW = 0.4, 0.1

DEAL_ACTIVITIES = np.array([
    # email, call, meeting, demo, task: with momentum, by stage
    [0.44, 0.41, 0.15, 0.07, 0.15],
    [0.46, 0.41, 0.22, 0.23, 0.15],
    [0.54, 0.41, 0.30, 0.18, 0.18],
    [0.66, 0.44, 0.33, 0.06, 0.20],
])  # fmt: skip
"""What reps do by themselves; replies, follow-ups and next steps come on top."""
STALLED_ACTIVITIES = np.array([0.4, 0.35, 0.1, 0.1, 0.6])
"""Factor on each kind while a deal is stalled."""
INBOUND = (0.06, 0.4)
"""Chance that an email or call is the customer's own, stalled and with momentum."""
REPLY = (0.05, 0.38)
"""Chance that the customer replies to an email, stalled and with momentum."""
FOLLOW_UP = 0.55
"""Chance that a meeting or demo is followed up by an email within a day."""
NEXT_STEP_KEPT = (0.15, 0.4)
"""Chance that the two sides talk on the day of the agreed next step, stalled and with momentum."""
NEXT_STEP_KINDS = (0.58, 0.32, 0.1)
"""Calls, meetings and demos among the next steps."""
GOOD_OUTCOME = (0.2, 0.62)

# --- Money ------------------------------------------------------------------------------------------------------------
# Source: LEAVING_PER_YEAR published: 8 % to 12 % of the customers a year in the mid-market
# (https://www.userintuition.ai/reference-guides/stripe-churn-rate-benchmarks/). APPETITE_SHAPE: unlike customers, as
# in cdnow, where a fifth of them places 58 % of the orders (measured). Discounts, renewals of what is mostly sold for
# good, quotas: our assumption.
DISCOUNT_MOST, DISCOUNT_QUARTER_END = 0.12, 0.04
FIRST_RENEWAL, LATER_RENEWAL, RENEWAL_UPLIFT = 0.34, 0.88, 1.03
"""Chance that a deal is renewed after a year (most are sold for good), and that a renewed contract is again, of
customers who have not left."""
LEAVING_PER_YEAR = 0.12
"""Rate at which customers leave: their contracts end and they do not buy again."""
APPETITE_SHAPE = 0.7
"""How unlike customers are in buying again: shape of a gamma distribution; the smaller, the more unlike."""
CREDIT_CHANCE = 0.015
QUOTA_STRETCH = 1.1
PLAN_WIN_RATE, PLAN_AMOUNT_USD = 0.3, 20_000.0
"""What the plan of the first quarter assumes."""

# --- Late entry -------------------------------------------------------------------------------------------------------
# Source: our assumption; no public set records when a row was entered.
LATE_ACTIVITY, LATE_ACTIVITY_DAYS = 0.05, 9.0
LATE_STAGE, LATE_STAGE_DAYS = 0.15, 4.0
LATE_CLOSE, LATE_CLOSE_DAYS = 0.15, 6.0
LATE_LEAD, LATE_LEAD_DAYS = 0.6, 3.0
"""Share of the leads of trade shows and bought lists that are loaded days later; all other leads are known at once."""

# --- Scenarios: factors from the change on ----------------------------------------------------------------------------
# Source: our assumption. olist's regime change of 2018-01 was larger (1-5 % to 13-15 % of the leads won, measured).
RECESSION = {"arrivals": 0.8, "convert": 0.7, "advance": 0.85, "lose": 1.35, "amount": 0.88}
PROCESS_CHANGE = {"arrivals": 1.0, "convert": 1.0, "advance": 1.2, "lose": 1.25, "amount": 1.0}
STEADY = {"arrivals": 1.0, "convert": 1.0, "advance": 1.0, "lose": 1.0, "amount": 1.0}
