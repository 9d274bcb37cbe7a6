"""One row through XGBoost's C interface: what its Python layer does around a prediction takes four times as long.

`Booster.inplace_predict` looks the array over, describes it as JSON, makes a class and copies the result, for every
call. Here array, description and configuration are made once a thread, and a call is a copy of the row and the
documented C function `XGBoosterPredictFromDense`. The answer is the same to the last bit; a test holds that.
"""

from __future__ import annotations

import ctypes
import json
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MARGIN = 1


class OneRow:
    """Margins of single rows; usable from any thread.

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

    def margin(self, row: NDArray[np.float64]) -> float:
        """Log-odds of a row, shape (width,)."""
        mine = self._threads
        if not hasattr(mine, "array"):
            mine.array = np.zeros((1, self._width))
            mine.described = json.dumps(
                {"data": [mine.array.ctypes.data, True], "shape": [1, self._width], "typestr": "<f8", "version": 3}
            ).encode()
            mine.shape, mine.dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
            mine.found = ctypes.POINTER(ctypes.c_float)()
        mine.array[0] = row
        self._check(
            self._predict(
                self._booster.handle,
                mine.described,
                self._asked,
                None,
                ctypes.byref(mine.shape),
                ctypes.byref(mine.dimensions),
                ctypes.byref(mine.found),
            )
        )
        return float(mine.found[0])
