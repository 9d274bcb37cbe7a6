"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.classifier import Developed
from training.frame import Frame, Partition
from training.manifest import Manifest
from training.recipe import Context
from training.resampling import entity_codes
from training.results import Metric

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """What a report is made from.

    Args:
        context: The run.
        source: Name of the source.
        frame: The frame.
        partition: Past and test.
        developed: The model and what it says.
        manifest: Manifest of its bundle.
        protocols: Figures on further protocols.
        warnings: Findings a person should read, other than the probes'.
        worth: What the outcome of each test row is worth; None where each counts 1.
        worth_unit: Unit of `worth`.
        versions: Versions of the libraries, by name.
    """

    context: Context
    source: str
    frame: Frame
    partition: Partition
    developed: Developed
    manifest: Manifest
    protocols: Mapping[str, Mapping[str, Metric]]
    warnings: Sequence[str] = ()
    worth: Vector | None = None
    worth_unit: str | None = None
    versions: Mapping[str, str] | None = None

    @cached_property
    def entity(self) -> NDArray[np.int64]:
        """A number for the lead or deal of each test row; numbers are counted faster than names."""
        return entity_codes(self.frame.entity[self.partition.test])

    @property
    def as_of(self) -> NDArray[np.datetime64]:
        """Moment of each test row."""
        return np.asarray(self.frame.as_of[self.partition.test])
