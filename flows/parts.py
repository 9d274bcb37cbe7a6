"""The parts that every flow works with, opened from settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from common.code_version import code_digest
from common.settings import Settings
from common.workspace import Workspace

if TYPE_CHECKING:
    from features.repository import FeatureRepository
    from training.registry import ModelRegistry
    from warehouse.sources import Source
    from warehouse.store import Warehouse

_CODE_FOLDERS = ("common", "warehouse", "features", "training", "monitoring", "flows")


@dataclass(frozen=True)
class Platform:
    """One workspace's warehouse, features and models, each opened when first used.

    Args:
        settings: The process's settings.
        workspace: The workspace to work in; it has the name of its source.
    """

    settings: Settings
    workspace: Workspace

    @classmethod
    def open(cls, name: str | None = None) -> Platform:
        """Open the workspace `name`, or the one the settings choose.

        Raises:
            SourceError: if no source has that name.
        """
        settings = Settings()
        return cls(settings=settings, workspace=Workspace.of(settings, name))

    @cached_property
    def source(self) -> Source:
        """The workspace's source with its model protocols."""
        from warehouse.own_mapping import source_of

        return source_of(self.workspace)

    @cached_property
    def warehouse(self) -> Warehouse:
        """The workspace's Delta tables."""
        from warehouse.store import Warehouse

        return Warehouse(self.workspace.warehouse)

    @cached_property
    def repository(self) -> FeatureRepository:
        """The workspace's Feast repository."""
        from features.repository import FeatureRepository

        return FeatureRepository(self.workspace, self.warehouse, self.settings.online_store)

    @cached_property
    def registry(self) -> ModelRegistry:
        """The model registry, shared by all workspaces."""
        from training.registry import ModelRegistry

        return ModelRegistry(self.settings)

    def now(self) -> datetime:
        """The moment that 'now' means here: fixed by the settings, or the data's own cut, or the wall clock."""
        from warehouse.present import present

        return present(self.settings, self.warehouse)


def prepare_environment(settings: Settings) -> None:
    """Turn telemetry off and keep Prefect's own state below `settings.home`; call before Prefect is imported."""
    from common.telemetry import disable_telemetry

    disable_telemetry()
    os.environ.setdefault("PREFECT_HOME", str((settings.home / "prefect").absolute()))
    # Prefect makes only the last folder of the path, and only warns when it cannot.
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    # Errors reach the user through the command line, once; Prefect would log each with its stack as well.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("MPLBACKEND", "Agg")


def code_fingerprint() -> str:
    """Hash of the product's own source files: a result made by other code is not reused."""
    return code_digest(_CODE_FOLDERS)
