"""The champions in use: found in the registry, loaded beside the old ones, and swapped in one assignment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from common.errors import ContractError, SalienceError, UnavailableError
from serving.aliases import ALIAS, Aliased

if TYPE_CHECKING:
    from training.scorer import Scorer

logger = logging.getLogger(__name__)


class Registry(Protocol):
    """Where aliases are read: `AliasReader`."""

    def find(self, name: str, *, known: Aliased | None = None) -> Aliased | None:
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
    """

    name: str
    version: str
    loaded_at: datetime
    scorer: Scorer | None
    metrics: dict[str, float]
    bundle: Path


def load_scorer(bundle: Path) -> Scorer:
    """Load a classifier's bundle and make it answer once, for a row of which nothing is known.

    Raises:
        ContractError: if the answer is no probability.
    """
    import math

    from training.scorer import Scorer

    scorer = Scorer.load(bundle)
    nothing = scorer.encode({name: [None] for name in scorer.manifest.feature_names})
    answer = float(scorer.probability(nothing)[0])
    if not (math.isfinite(answer) and 0.0 <= answer <= 1.0):
        raise ContractError(
            f"The model in {bundle} does not answer with a probability",
            expected="a number from 0 to 1",
            got=str(answer),
        )
    return scorer


class ChampionSlot:
    """Holds the champion of one task and follows its alias.

    Args:
        task: `lead`, `deal` or `forecast`.
        name: Registered model.
        registry: Where its alias is kept.
        load: Reads a bundle; None where there is nothing to load.
    """

    def __init__(
        self, task: str, *, name: str, registry: Registry, load: Callable[[Path], Scorer] | None = load_scorer
    ) -> None:
        self.task = task
        self.name = name
        self.current: Champion | None = None
        self.problem: str | None = None
        self._registry = registry
        self._load = load
        self._found: Aliased | None = None

    def refresh(self) -> bool:
        """Look at the alias once and take up what it points to; the model in use stays whenever that fails.

        Returns:
            Whether another version is in use now.
        """
        try:
            found = self._registry.find(self.name, known=self._found)
            if found is None:
                self._trouble(f"{self.name} has no {ALIAS}")
                return False
            if self.current is not None and found.version == self.current.version:
                self.problem = None
                return False
            scorer = self._load(found.bundle) if self._load is not None else None
        except SalienceError as error:
            self._trouble(error.message)
            return False
        except Exception as error:  # noqa: BLE001 - whatever a registry or a broken bundle raises, the old model goes on answering
            self._trouble(f"{type(error).__name__} while loading {self.name}: {error}")
            return False
        before = self.current.version if self.current is not None else "none"
        self.current = Champion(
            name=self.name,
            version=found.version,
            loaded_at=datetime.now(UTC),
            scorer=scorer,
            metrics=dict(found.metrics),
            bundle=found.bundle,
        )
        self._found = found
        self.problem = None
        logger.info("%s: version %s in use (before: %s)", self.name, found.version, before)
        return True

    def require(self) -> Champion:
        """The champion in use.

        Raises:
            UnavailableError: if there is none, with the command that makes one.
        """
        current = self.current
        if current is None:
            raise UnavailableError(
                self.problem or f"The model {self.name} is not loaded", next_step=f"run: salience train {self.task}"
            )
        return current

    def _trouble(self, text: str) -> None:
        if text != self.problem:
            kept = f"version {self.current.version} goes on answering" if self.current is not None else "none in use"
            logger.warning("%s (%s)", text, kept)
        self.problem = text
