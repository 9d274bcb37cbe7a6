"""What a field's name says about when it is written: the only witness where a file has no times.

The words are those of the sales tools' own standard fields (Salesforce: Rating, StageName, LastActivityDate, OwnerId,
IsWon, Closed reason; Pardot: Score, Grade, Profile; HubSpot: lifecyclestage, hs_lead_status, notes_last_updated,
closed_lost_reason; Dynamics: statuscode, leadqualitycode), not of any data set. A field named so holds, at the export,
what was written while the record was worked or when it closed. Its meaning therefore allows no ability at all for a
moment at which the work has not begun, and any that is beyond chance is a *likely* leak: it may have been frozen at the
right moment, which the file cannot show.
"""

from __future__ import annotations

import re

_KINDS: dict[str, frozenset[str]] = {
    "is named as the newest of something, which each later event rewrites": frozenset(
        {"last", "latest", "recent", "newest", "modified", "updated", "changed"}
    ),
    "is named as a judgement about the record, which is made and renewed while it is worked": frozenset(
        {"score", "grade", "rating", "quality", "profile", "rank", "tier", "temperature", "persona"}
    ),
    "is named as something that those who work the record write": frozenset(
        {"stage", "status", "tag", "tags", "owner", "assigned", "disposition", "note", "notes", "comment", "comments"}
    ),
    "is named after how the work went, which is known once it is done": frozenset({"duration", "attempts", "touches"}),
    "is named after the end of the record": frozenset(
        {
            *("close", "closed", "closing", "won", "lost", "outcome", "result", "reason", "converted", "conversion"),
            *("disqualified", "disqualification", "accepted", "rejected", "decision", "signed"),
        }
    ),
}
# Of an earlier record, or of the thing's own past.
_EARLIER = frozenset({"previous", "prior", "former", "earlier"})
_SURNAME = "last name"


def late_meaning(name: str) -> str | None:
    """Why the name says that the field is written after the record was created; None if it does not.

    Example:
        >>> late_meaning("Last Notable Activity")
        'is named as the newest of something, which each later event rewrites'
        >>> late_meaning("previous_outcome") is None
        True
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    plain = " ".join(re.sub(r"[^a-z0-9]+", " ", spaced.lower()).split())
    words = frozenset(plain.replace(_SURNAME, "").split())
    if words & _EARLIER:
        return None
    return next((why for why, known in _KINDS.items() if words & known), None)
