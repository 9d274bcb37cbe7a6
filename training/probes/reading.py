"""A stranger's file as a frame for the probes: its cells as text, and the outcome as 1, 0 or unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import InputError, NotFoundError, SourceError, shorten
from training.probes.fields import plain_cells

Vector = NDArray[np.float64]

FILLED = "filled"
"""As the positive value: every row in which the label column holds anything."""

_POSITIVE = frozenset({"1", "1.0", "true", "t", "yes", "y", "won", "converted"})
_SHOWN = 8


def read_frame(path: Path) -> dict[str, list[Any]]:
    """All cells of a CSV (gzipped too), Excel or Parquet file by column, as they stand.

    Raises:
        NotFoundError: if there is no such file.
        SourceError: if it is of an unknown kind, empty or unreadable.
    """
    from warehouse.suggest.reading import read_sample

    if not path.is_file():
        raise NotFoundError(f"There is no file {path}", next_step="give a CSV, Excel or Parquet file: --frame FILE")
    sample = read_sample(path)
    if sample.format == "parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        return {name: table.column(name).to_pylist() for name in table.column_names}
    import pandas as pd

    headers = list(sample.columns)
    options: dict[str, Any] = {"dtype": str, "names": headers, "header": 0, "skiprows": sample.skipped_lines}
    try:
        if sample.format == "excel":
            frame = pd.read_excel(path, sheet_name=sample.sheet or 0, engine="calamine", **options)
        else:
            frame = pd.read_csv(
                path, sep=sample.separator, encoding=sample.encoding, keep_default_na=False, index_col=False, **options
            )
    except (OSError, ValueError) as error:
        raise SourceError(f"The file {path} cannot be read", got=str(error)) from error
    return {name: frame[name].tolist() for name in headers}


def column_of(columns: dict[str, list[Any]], name: str, *, option: str) -> list[Any]:
    """A column by name.

    Raises:
        InputError: naming the columns there are.
    """
    if name not in columns:
        raise InputError(
            f"The file has no column '{name}' ({option})", got=f"columns {shorten(columns, limit=40)}", field=option
        )
    return columns[name]


def label_of(cells: Sequence[Any], *, name: str, positive: str | None = None, negatives: Sequence[str] = ()) -> Vector:
    """1 with the outcome, 0 without, NaN where it is not known.

    Args:
        cells: The label column.
        name: Its name, for errors.
        positive: The value that is the outcome; `filled`: any value; None: told from two values such as yes and no.
        negatives: Values that are no outcome; empty: every other value. Rows with neither are unknown.

    Raises:
        InputError: if the outcome cannot be told, or no row has it.
    """
    plain = plain_cells(cells)
    if positive == FILLED:
        return np.array([float(cell is not None) for cell in plain])
    counts = Counter(cell for cell in plain if cell is not None)
    if positive is None:
        likely = [value for value in counts if value.lower() in _POSITIVE]
        if len(counts) != 2 or len(likely) != 1:
            raise InputError(
                f"Which value of '{name}' is the outcome cannot be told",
                got=f"values {shorten((value for value, _ in counts.most_common()), limit=_SHOWN)}",
                next_step="say it: --positive VALUE (or --positive filled, if any value means the outcome)",
                field="positive",
            )
        positive = likely[0]
    unknown = [value for value in (positive, *negatives) if value not in counts]
    if unknown:
        raise InputError(
            f"No row of '{name}' says {shorten(unknown)}",
            got=f"values {shorten((value for value, _ in counts.most_common()), limit=_SHOWN)}",
            field="positive",
        )
    others = set(negatives) if negatives else set(counts) - {positive}
    return np.array([1.0 if cell == positive else 0.0 if cell in others else np.nan for cell in plain])
