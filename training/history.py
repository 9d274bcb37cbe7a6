"""A model's life as its log tells it: since when a version rules, who put it there, and whether the log is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.promotion import promotion_log
from training.promotion_log import GATE, reigns

if TYPE_CHECKING:
    from training.registry import ModelRegistry


@dataclass(frozen=True, kw_only=True)
class History:
    """Decisions about models, oldest first, from a log that was found whole.

    Args:
        entries: The decisions, as the log holds them.
        outside: Models whose alias does not say what the log says, and how so: moved by other hands.
    """

    entries: Sequence[Mapping[str, Any]]
    outside: Mapping[str, str]

    def since(self, name: str, version: str) -> Mapping[str, Any] | None:
        """The decision that made a version champion last; None where the log knows none."""
        found = [e for e in self.entries if e["name"] == name and e["version"] == version and e["promoted"]]
        return found[-1] if found else None

    def about(self, name: str, version: str) -> list[Mapping[str, Any]]:
        """All decisions about a version."""
        return [entry for entry in self.entries if entry["name"] == name and entry["version"] == version]


def read_history(registry: ModelRegistry, names: Sequence[str]) -> History:
    """Read the log, check that no line was changed or cut off, and hold it against the aliases.

    Args:
        registry: Where the aliases and the seals are.
        names: Registered models to tell of.

    Raises:
        ContractError: if the log was changed, cut short or replaced.
        UnavailableError: if the registry cannot be reached.
    """
    entries = promotion_log(registry).checked(registry.seals())
    outside = {}
    for name in names:
        champion = registry.champion(name)
        ruled = reigns(entries, name)
        logged = ruled[-1] if ruled else None
        present = champion.version if champion else None
        if logged != present:
            outside[name] = (
                f"the champion of {name} is {_version(present)}, and the log's newest word is {_version(logged)}: "
                "the alias was moved outside of Salience"
            )
    kept = [{"kind": GATE, "checks": (), **entry} for entry in entries if entry["name"] in names]
    return History(entries=kept, outside=outside)


def _version(version: str | None) -> str:
    return "none" if version is None else f"version {version}"
