"""A model is probed before it answers: rows kept in its bundle, whose probabilities were written down at training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import ContractError

if TYPE_CHECKING:
    from training.scorer import Scorer

PROBED_ROWS = 50
_TOLERANCE = 1e-6
"""The answers' own precision: probabilities go out with six digits."""


def load_scorer(bundle: Path) -> Scorer:
    """Load a classifier's bundle and see that it answers its stored cases as it did when it was trained.

    Args:
        bundle: Folder with the manifest, the model and the reference sample.

    Raises:
        NotFoundError: if the folder holds no bundle.
        ContractError: if the bundle has no cases to probe it with, or one is answered otherwise than it was.
    """
    from training.scorer import Scorer

    scorer = Scorer.load(bundle)
    columns, expected = stored_cases(bundle, rows=PROBED_ROWS)
    got = scorer.label_probability(scorer.encode(columns)).tolist()
    wrong = [
        (place, before, now)
        for place, (before, now) in enumerate(zip(expected, got, strict=True))
        if not (math.isfinite(now) and abs(now - before) <= _TOLERANCE)
    ]
    if wrong:
        place, before, now = wrong[0]
        raise ContractError(
            f"The model in {bundle} answers {len(wrong)} of {len(expected)} stored cases otherwise than at training",
            expected=f"{before:.6f} for case {place}",
            got=f"{now:.6f}",
            next_step="train the model again; the version in use goes on answering",
        )
    scorer.record(columns, ids=[str(place) for place in range(len(expected))], at=_probe_moment(scorer))
    return scorer


def stored_cases(bundle: Path, *, rows: int) -> tuple[dict[str, list[Any]], list[float]]:
    """The first rows of a bundle's reference sample: features by name, and the probability of each.

    Raises:
        ContractError: if there are none. A probe that cannot be made is not passed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from training.bundle import REFERENCE_FILE

    path = bundle / REFERENCE_FILE
    try:
        with pq.ParquetFile(path) as file:
            first = next(file.iter_batches(batch_size=rows), None)
    except (OSError, pa.ArrowException) as error:
        raise _no_cases(bundle, type(error).__name__) from error
    if first is None or first.num_rows == 0 or "probability" not in first.schema.names:
        raise _no_cases(bundle, "an empty sample")
    columns = {name: first[name].to_pylist() for name in first.schema.names}
    return columns, columns.pop("probability")


def _no_cases(bundle: Path, got: str) -> ContractError:
    return ContractError(
        f"The bundle {bundle} has no stored cases to probe it with",
        expected="a reference sample with probabilities",
        got=got,
        next_step="train the model again",
    )


def _probe_moment(scorer: Scorer) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(scorer.manifest.trained_at)
