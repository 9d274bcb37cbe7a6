"""Themes: which features a salesperson takes for one and the same reason.

"Looked at prices" is one reason, whether a count over a week, a count over a month or the days since the last time says
so. Trees share what they learn among such features almost at will; their sum is far steadier than its parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# The first pattern that matches a feature's name says its theme; a feature that none matches is a theme of its own.
_THEMES: tuple[tuple[str, str], ...] = (
    (r"pricing", "interest in prices"),
    (r"demo_request|form_submission|intent", "requests and forms"),
    (r"email_kind", "e-mail address"),
    (r"^title_", "position"),
    (r"^job_function$", "field of work"),
    (r"^employee_count$", "size of the company"),
    (r"profile_gaps", "gaps in the profile"),
    (r"lead_status", "status"),
    (r"^is_repeat|earlier_lead", "earlier leads of this person"),
    (r"email_open|email_click|email_reply|mails_clicked|mails_answered", "answers to our mails"),
    (r"content_download|webinar|social", "contents, webinars, social media"),
    (r"page_view|on_pages|sessions?_", "visits to our pages"),
    (r"lead_event|active_days|event_kinds|between_events", "activity in all"),
    (r"lead_source|landing_page|_segment_|_source_\d|^deal_source$|is_from_lead", "where it came from"),
    (r"_all_\d+d$", "how things go in general"),
    (r"lead_age|^created_", "time of first contact"),
    (r"^(country|lead_region)$", "place"),
    (r"account_(country|region)$", "place of the account"),
    (r"account_(industry|employee_count|revenue)", "kind of company"),
    (r"account", "history with the account"),
    (r"_rep(_|$)|^rep_", "the rep"),
    (r"competitor", "competition"),
    (r"deal_product|product_family|list_price", "product"),
    (r"amount|discount", "amount and price"),
    (r"close_date|planned_cycle|quarter_end", "close date and plan"),
    (r"next_step", "next step"),
    (r"forecast|crm_probability", "what the rep and the CRM say"),
    (r"^opened_|^deal_age|owner_changes|last_change$", "age of the deal"),
    (r"stage", "stage and pace"),
    (r"senior|director|contacts|participants", "people involved"),
    (r"answer|unanswered|inbound", "answers of the customer"),
    (r"activit|email|call|meeting|demo|talk|task|outbound", "work on the deal"),
)
_COMPILED = tuple((re.compile(pattern), title) for pattern, title in _THEMES)
# How much evidence a rate rests on: part of the theme, but no reason that a person would give.
_SUPPORT = re.compile(r"^count_(leads_segment|deals_left_stage|closed_deals_competitor)")


def is_support(name: str) -> bool:
    """Whether a feature only says how much evidence another one rests on; such a feature speaks last.

    Example:
        >>> is_support("count_leads_segment_365d"), is_support("conversion_rate_segment_365d")
        (True, False)
    """
    return _SUPPORT.match(name) is not None


def theme_of(name: str) -> str:
    """Title of the theme that a feature belongs to.

    A source's own fields are themes of their own: nobody here knows what they mean.

    Example:
        >>> theme_of("days_since_last_pricing_view")
        'interest in prices'
        >>> theme_of("custom_favourite_colour")
        'favourite colour'
    """
    if name.startswith("custom_"):
        return name.removeprefix("custom_").replace("_", " ")
    for pattern, title in _COMPILED:
        if pattern.search(name):
            return title
    return name.replace("_", " ")


def themes_of(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Titles of the themes of several features in order of their first appearance, and each feature's position in them.

    Example:
        >>> themes_of(["count_pricing_view_7d", "industry", "count_pricing_view_30d"])
        (('interest in prices', 'industry'), (0, 1, 0))
    """
    titles = tuple(dict.fromkeys(theme_of(name) for name in names))
    return titles, tuple(titles.index(theme_of(name)) for name in names)
