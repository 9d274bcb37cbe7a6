"""What the outcome of an activity says, whatever words a source has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis.expr.types as ir

GOOD, BAD, NOBODY, OTHER = "good", "bad", "nobody", "other"
# Read in this order; the first that matches wins. RE2 on DuckDB and Java on Spark both know \b.
_TONES = (
    (
        NOBODY,
        r"\b(no[ -]?(answer|response|reply|show)|voice ?mail|left (a |live )?message|busy|unreachable|bounced|"
        r"not (reached|available)|wrong number)\b",
    ),
    (BAD, r"\b(not interested|negative|bad|rejected|declined|refused|cancell?ed|failed|unsuccessful)\b"),
    (
        GOOD,
        r"\b(positive|good|interested|accepted|agreed|approved|successful|success|connected|completed|scheduled|"
        r"booked|replied)\b",
    ),
)


def outcome_tone(outcome: ir.StringValue) -> ir.StringValue:
    """Whether an activity went well (`GOOD`), badly or reached nobody, else `OTHER`; null where nothing is said."""
    import ibis

    text = outcome.lower()
    branches = [(text.re_search(pattern), ibis.literal(tone)) for tone, pattern in _TONES]
    return outcome.isnull().ifelse(ibis.null("string"), ibis.cases(*branches, else_=ibis.literal(OTHER)))
