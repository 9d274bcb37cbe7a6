"""A workspace: one source's warehouse, features, forecasts and reports, side by side with other sources'."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.settings import Settings


@dataclass(frozen=True)
class Workspace:
    """Where the parts of one source live. Registered models are named `{workspace}-{task}`.

    Args:
        name: Name of the workspace, by default that of its source.
        home: Folder that holds all workspaces.
    """

    name: str
    home: Path

    @classmethod
    def of(cls, settings: Settings, name: str | None = None) -> Workspace:
        """The workspace `name`, or the one that the settings choose."""
        return cls(name=name or settings.workspace, home=settings.home)

    @property
    def root(self) -> Path:
        """Folder of everything below."""
        return (self.home / self.name).absolute()

    @property
    def landing(self) -> Path:
        """Files as a source or the simulator delivered them."""
        return self.root / "landing"

    @property
    def mapping(self) -> Path:
        """The user's own mapping of the files, where the source is not a shipped one."""
        return self.root / "mapping.yaml"

    @property
    def truth(self) -> Path:
        """The simulator's hidden truths; no feature may read them."""
        return self.root / "truth"

    @property
    def warehouse(self) -> Path:
        """Delta tables."""
        return self.root / "warehouse"

    @property
    def features(self) -> Path:
        """Feast's registry, offline files and online store."""
        return self.root / "features"

    @property
    def scores(self) -> Path:
        """Batch scores, one Parquet file per task."""
        return self.root / "scores"

    @property
    def forecasts(self) -> Path:
        """Forecasts by the moment they were made."""
        return self.root / "forecasts"

    @property
    def reports(self) -> Path:
        """Reports for people: HTML with JSON beside it."""
        return self.root / "reports"

    @property
    def evidently(self) -> Path:
        """Evidently's workspace folder."""
        return self.root / "evidently"

    @property
    def receipts(self) -> Path:
        """What each step made from which inputs, so that a later run can reuse it."""
        return self.root / "receipts"

    def model_name(self, task: str) -> str:
        """Name of the registered model of `task` (`lead`, `deal`, `forecast`)."""
        return f"{self.name}-{task}"
