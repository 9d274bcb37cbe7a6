"""What a job title and an e-mail address tell of a person."""

from __future__ import annotations

from collections.abc import Sequence
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
    ("student", r"\b(student|intern|trainee|apprentice)\b"),
    ("consultant", r"\b(consultant|advisor|adviser|freelancer?)\b"),
    ("specialist", r"\b(analyst|specialist|engineer|developer|administrator|coordinator|associate|assistant)\b"),
)
RANKS = tuple(dict.fromkeys(rank for rank, _ in _SENIORITY))
_FUNCTIONS = (
    ("finance", r"\b(cfo|finance|financial|accounting|accountant|controller|controlling|treasury|treasurer)\b"),
    ("it", r"\b(cto|cio|it|information|technology|software|developer|data|systems?|security)\b"),
    ("marketing", r"\b(cmo|marketing|brand|communications?|growth)\b"),
    ("sales", r"\b(cro|sales|revenue|account|business development)\b"),
    ("purchasing", r"\b(purchasing|procurement|buyer|buying|sourcing)\b"),
    ("people", r"\b(hr|human resources|people|talent|recruiting|recruiter)\b"),
    ("operations", r"\b(coo|operations?|supply|logistics|production|manufacturing|plant)\b"),
    ("general", r"\b(ceo|founder|owner|partner|president|general|managing)\b"),
)
FUNCTIONS = tuple(field for field, _ in _FUNCTIONS)
_FREE_MAIL = (
    r"@(gmail|googlemail|yahoo|ymail|hotmail|outlook|live|msn|aol|icloud|me|gmx|web|mail|proton(mail)?|qq|yandex)\."
)


def title_seniority(title: ir.StringValue) -> ir.StringValue:
    """Rank in a job title; null where the title is missing."""
    return _read(title, _SENIORITY)


def job_function(title: ir.StringValue) -> ir.StringValue:
    """Field of work in a job title; null where the title is missing."""
    return _read(title, _FUNCTIONS)


def _read(title: ir.StringValue, patterns: Sequence[tuple[str, str]]) -> ir.StringValue:
    """The word of the first pattern that a title matches, else `other`."""
    import ibis

    text = title.lower()
    branches = [(text.re_search(pattern), ibis.literal(word)) for word, pattern in patterns]
    return title.isnull().ifelse(ibis.null("string"), ibis.cases(*branches, else_=ibis.literal("other")))


def person_key(email: ir.StringValue) -> ir.StringValue:
    """What tells that two e-mail addresses are of one person; null where there is none or it is malformed.

    At a public mail provider the whole address. At a company what the address has after its last dot, dash or
    underscore, mostly the surname: `ada.lovelace@` and `a.lovelace@` are taken for one person.
    """
    import ibis

    text = email.lower()
    kind = email_kind(email)
    surname = text.re_extract(r"[^@._-]+@.+$", 0)
    key = ibis.cases(((kind == "business") & (surname != ""), surname), else_=text)
    return (kind == "malformed").ifelse(ibis.null("string"), key)


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
