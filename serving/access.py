"""Who may ask what: callers, their roles, and whose leads and deals they may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from common.errors import SalienceError

Right = Literal["score", "override", "forecast", "adjust", "events", "jobs", "observe"]
Role = Literal["rep", "manager", "application", "operator", "admin"]

RIGHTS: Mapping[Role, frozenset[Right]] = {
    "rep": frozenset({"score", "override", "forecast"}),
    "manager": frozenset({"score", "override", "forecast", "adjust"}),
    "application": frozenset({"score", "forecast", "events", "jobs"}),
    "operator": frozenset({"observe"}),
    "admin": frozenset({"score", "override", "forecast", "adjust", "events", "jobs", "observe"}),
}
SCOPED: frozenset[Role] = frozenset({"rep", "manager"})
"""Roles that see their own territories and reps only; with neither named they see nothing."""


class UnauthenticatedError(SalienceError):
    """Who asks is not known."""

    http_status = 401
    title = "Unauthorized"


class ForbiddenError(SalienceError):
    """Who asks may not have what is asked for."""

    http_status = 403
    title = "Forbidden"


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Args:
        name: Name of the key, or subject of the token. It is written to logs and audits, so it is no secret.
        role: What the caller may do.
        territories: Territories whose leads and deals a scoped caller sees.
        reps: Reps whose leads and deals a scoped caller sees.
    """

    name: str
    role: Role
    territories: frozenset[str] = frozenset()
    reps: frozenset[str] = frozenset()

    @property
    def is_scoped(self) -> bool:
        """Whether the caller sees only a part."""
        return self.role in SCOPED

    def require(self, right: Right) -> None:
        """Refuse a caller without a right.

        Raises:
            ForbiddenError: if the role does not have it.
        """
        if right not in RIGHTS[self.role]:
            able = ", ".join(role for role, rights in RIGHTS.items() if right in rights)
            raise ForbiddenError(
                f"The role {self.role} may not do this",
                expected=f"one of {able}",
                next_step="ask whoever runs this service for a key with such a role",
            )


LOCAL = Caller(name="local", role="admin")
"""The caller of a service that listens on this machine alone."""


@dataclass
class Territories:
    """Which territory each rep works in, as the warehouse says; read anew when its tables change.

    Args:
        of_rep: Territory by rep.
    """

    of_rep: Mapping[str, str] = field(default_factory=dict)

    def may_see(self, caller: Caller, owner: str | None) -> bool:
        """Whether a caller may see what a rep owns; what nobody owns is seen by callers without a scope alone."""
        if not caller.is_scoped:
            return True
        if owner is None:
            return False
        return owner in caller.reps or self.of_rep.get(owner) in caller.territories

    def require(self, caller: Caller, owner: str | None) -> None:
        """Refuse a caller what is not theirs.

        Raises:
            ForbiddenError: if it is not.
        """
        if not self.may_see(caller, owner):
            raise ForbiddenError(
                "This belongs to another territory than yours",
                next_step="ask for leads and deals of your own territory",
            )
