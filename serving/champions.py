"""The models in use: found in the registry, loaded and probed beside the old ones, and swapped in one assignment."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from common.errors import SalienceError, UnavailableError
from serving.aliases import ALIAS, Aliased
from serving.probes import load_scorer

if TYPE_CHECKING:
    from training.scorer import Scorer

_AGAIN_SECONDS = 30.0
"""A version that was refused is looked at again after so long: its files may have been repaired."""

logger = logging.getLogger(__name__)


class Registry(Protocol):
    """Where aliases are read: `AliasReader`."""

    def find(self, name: str, *, known: Aliased | None = None, alias: str = ALIAS) -> Aliased | None:
        """The version that carries the alias, with its bundle on this machine."""
        ...


@dataclass(frozen=True)
class Champion:
    """A version of a model, ready to answer.

    Args:
        name: Registered model.
        version: Its version.
        loaded_at: When this process loaded it, UTC.
        scorer: The loaded bundle; None for forecasts, which are answered from their store.
        metrics: Its figures on later data than it was trained on.
        bundle: Folder it was loaded from.
        alias: The alias it was found by.
    """

    name: str
    version: str
    loaded_at: datetime
    scorer: Scorer | None
    metrics: dict[str, float]
    bundle: Path
    alias: str = ALIAS

    def scorer_or_raise(self) -> Scorer:
        """The scorer.

        Raises:
            UnavailableError: if the model scores nothing.
        """
        if self.scorer is None:
            raise UnavailableError(f"{self.name} version {self.version} cannot score")
        return self.scorer


class ChampionSlot:
    """Holds the model of one task and follows its alias.

    The version before stays loaded, so that an alias that moves back is served at once.

    Args:
        task: `lead`, `deal` or `forecast`.
        name: Registered model.
        registry: Where its alias is kept.
        load: Reads a bundle and raises if it does not answer as it should; None where there is nothing to load.
        alias: The alias to follow.
    """

    def __init__(
        self,
        task: str,
        *,
        name: str,
        registry: Registry,
        load: Callable[[Path], Scorer] | None = load_scorer,
        alias: str = ALIAS,
    ) -> None:
        self.task = task
        self.name = name
        self.alias = alias
        self.current: Champion | None = None
        self.previous: Champion | None = None
        self.problem: str | None = None
        self.swaps = 0
        self._registry = registry
        self._load = load
        self._found: Aliased | None = None
        self._refused: tuple[str, float] | None = None

    def refresh(self, *, before_use: Callable[[], None] = lambda: None) -> bool:
        """Look at the alias once and take up what it points to; the model in use stays whenever that fails.

        Args:
            before_use: Called before another version answers, when it is loaded and has passed its probe.

        Returns:
            Whether another version is in use now.
        """
        try:
            found = self._registry.find(self.name, known=self._found, alias=self.alias)
            if found is None:
                self._trouble(f"{self.name} has no {self.alias}")
                return False
            if self.current is not None and found.version == self.current.version:
                self.problem = None
                return False
            if self._refused is not None and found.version == self._refused[0] and time.monotonic() < self._refused[1]:
                return False
            self._refused = (found.version, time.monotonic() + _AGAIN_SECONDS)
            fresh = self._loaded(found)
            before_use()
        except SalienceError as error:
            self._trouble(error.message)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a registry or a broken bundle raises, the old model goes on answering
            self._trouble(f"{type(error).__name__} while loading {self.name}: {error}")
            return False
        before = self.current.version if self.current is not None else "none"
        self.previous, self.current = self.current, fresh
        self._found, self._refused, self.problem = found, None, None
        self.swaps += before != "none"
        logger.info("%s: version %s in use as %s (before: %s)", self.name, found.version, self.alias, before)
        return True

    def require(self) -> Champion:
        """The model in use.

        Raises:
            UnavailableError: if there is none, with the command that makes one.
        """
        current = self.current
        if current is None:
            raise UnavailableError(
                self.problem or f"The model {self.name} is not loaded", next_step=f"run: salience train {self.task}"
            )
        return current

    def _loaded(self, found: Aliased) -> Champion:
        kept = self.previous
        is_kept = kept is not None and (kept.version, kept.bundle) == (found.version, found.bundle)
        if kept is not None and is_kept:
            scorer = kept.scorer
        else:
            scorer = self._load(found.bundle) if self._load is not None else None
        return Champion(
            name=self.name,
            version=found.version,
            loaded_at=datetime.now(UTC),
            scorer=scorer,
            metrics=dict(found.metrics),
            bundle=found.bundle,
            alias=self.alias,
        )

    def _trouble(self, text: str) -> None:
        if text != self.problem:
            kept = f"version {self.current.version} goes on answering" if self.current is not None else "none in use"
            logger.warning("%s (%s)", text, kept)
        self.problem = text


__all__ = ["ALIAS", "Champion", "ChampionSlot", "Registry", "load_scorer"]
