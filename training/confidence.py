"""How far to trust one probability, 0 to 1.

The product of two shares:

- *pinned down*: 1 less half the width of the 95 % interval of the outcome rate that later rows with such a probability
  had, over that rate (or the base rate, where that is greater). 0.8 means: the rate of like-scored rows of the test
  period is known up to 20 % of itself;
- *known*: how much of what the model reads, by importance, is known for the row. A missing value that says "never"
  (no pricing page was ever viewed) is known; one that nobody filled in is not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.manifest import Manifest
from training.wording import means_never

Matrix = NDArray[np.float64]


class Confidence:
    """Confidence of a bundle's probabilities.

    Args:
        manifest: Its bands and features.
    """

    def __init__(self, manifest: Manifest) -> None:
        features = manifest.features
        importance = np.array([entry.importance for entry in features])
        self._importance = importance / importance.sum() if importance.sum() > 0 else importance
        self._speaks_missing = np.array([means_never(entry) for entry in features], dtype=bool)
        bands = manifest.bands
        self._uppers = np.array([band.high for band in bands[:-1]])
        self._pinned = np.array(
            [
                max(0.0, 1.0 - (band.rate_high - band.rate_low) / 2.0 / max(band.rate, manifest.base_rate, 1e-9))
                for band in bands
            ]
        )

    def of(self, matrix: Matrix, probability: Matrix) -> Matrix:
        """Confidence of each row, shape (n_rows,).

        Args:
            matrix: Rows of the model's matrix.
            probability: Their calibrated probabilities.
        """
        if not len(self._pinned):
            return np.zeros(len(matrix))
        pinned = self._pinned[np.searchsorted(self._uppers, probability, side="right")]
        known = (~np.isnan(matrix) | self._speaks_missing) @ self._importance
        return np.asarray(np.clip(pinned * known, 0.0, 1.0), dtype=np.float64)
