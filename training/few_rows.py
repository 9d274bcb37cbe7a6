"""A few rows through XGBoost's C interface: what its Python layer does around a prediction takes longer than it.

`Booster.inplace_predict` looks the array over, describes it as JSON, makes a class and copies the result, for every
call. Here array, description and configuration are made once a thread, and a call is a copy of the rows and the
documented C function `XGBoosterPredictFromDense`. The answer is the same to the last bit; a test holds that.
"""

from __future__ import annotations

import ctypes
import json
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_ROWS = 32
_MARGIN = 1


class FewRows:
    """Margins of at most `MOST_ROWS` rows; usable from any thread.

    Args:
        booster: An XGBoost booster.
        rounds: Rounds that count.
        width: Features of a row.
    """

    def __init__(self, booster: Any, *, rounds: int, width: int) -> None:
        import xgboost.core

        self._predict = xgboost.core._LIB.XGBoosterPredictFromDense
        self._check = xgboost.core._check_call
        self._booster = booster
        self._width = width
        self._threads = threading.local()
        asked = {
            "type": _MARGIN,
            "training": False,
            "iteration_begin": 0,
            "iteration_end": rounds,
            "missing": float("nan"),
            "strict_shape": False,
            "cache_id": 0,
        }
        self._asked = json.dumps(asked).encode()

    def margin(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds of some rows, shape (n_rows, width)."""
        mine, count = self._threads, len(rows)
        if not hasattr(mine, "array"):
            mine.array = np.zeros((MOST_ROWS, self._width))
            mine.described = [self._describe(mine.array, n_rows) for n_rows in range(MOST_ROWS + 1)]
            mine.shape, mine.dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
            mine.found = ctypes.POINTER(ctypes.c_float)()
        mine.array[:count] = rows
        self._check(
            self._predict(
                self._booster.handle,
                mine.described[count],
                self._asked,
                None,
                ctypes.byref(mine.shape),
                ctypes.byref(mine.dimensions),
                ctypes.byref(mine.found),
            )
        )
        return np.array(mine.found[:count], dtype=np.float64)

    def _describe(self, array: NDArray[np.float64], n_rows: int) -> bytes:
        """The first rows of an array, by numpy's array interface."""
        told = {"data": [array.ctypes.data, True], "shape": [n_rows, self._width], "typestr": "<f8", "version": 3}
        return json.dumps(told).encode()
