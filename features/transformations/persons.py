"""What a job title and an e-mail address tell of a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir

# Read in this order; the first that matches wins. RE2 on DuckDB and Java on Spark both know \b.
_SENIORITY = (
    ("executive", r"\b(chief|ceo|cfo|cto|cio|coo|cmo|cro|founder|co-founder|owner|partner)\b"),
    ("vice_president", r"\b(vp|svp|evp|vice president)\b"),
    ("executive", r"\bpresident\b"),
    ("director", r"\b(director|head)\b"),
    ("manager", r"\b(manager|lead|supervisor)\b"),
)
_FREE_MAIL = (
    r"@(gmail|googlemail|yahoo|ymail|hotmail|outlook|live|msn|aol|icloud|me|gmx|web|mail|proton(mail)?|qq|yandex)\."
)


def title_seniority(title: ir.StringValue) -> ir.StringValue:
    """Rank in a job title; null where the title is missing."""
    import ibis

    text = title.lower()
    branches = [(text.re_search(pattern), ibis.literal(rank)) for rank, pattern in _SENIORITY]
    known = ibis.cases(*branches, else_=ibis.literal("other"))
    return title.isnull().ifelse(ibis.null("string"), known)


def email_kind(email: ir.StringValue) -> ir.StringValue:
    """Kind of an e-mail address; null where it is missing."""
    import ibis

    text = email.lower()
    known = ibis.cases(
        (~text.re_search(r"^[^@\s]+@[^@\s]+\.[^@\s]+$"), ibis.literal("malformed")),
        (text.re_search(_FREE_MAIL), ibis.literal("free")),
        else_=ibis.literal("business"),
    )
    return email.isnull().ifelse(ibis.null("string"), known)
