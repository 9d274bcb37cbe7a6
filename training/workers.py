"""Further processes that make trials of one study side by side."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


@contextmanager
def working_together(work: Any, count: int) -> Iterator[None]:
    """Run `count` further workers while the block runs, and wait for them at its end.

    Each opens the journal itself; the journal is all they share. Processes are spawned, never forked: the libraries'
    threads do not survive a fork.

    Args:
        work: What `training.study.make_trials` needs; it is handed over in a file.
        count: How many; none for 0.
    """
    if count < 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="salience-study-") as folder:
        path = Path(folder) / "work.pickle"
        path.write_bytes(pickle.dumps(work))
        spawn = multiprocessing.get_context("spawn")
        processes = [spawn.Process(target=_make_trials, args=(path, number + 1)) for number in range(count)]
        for process in processes:
            process.start()
        try:
            yield
        except BaseException:
            for process in processes:
                process.terminate()
            raise
        finally:
            for process in processes:
                process.join()
        lost = sum(process.exitcode != 0 for process in processes)
        if lost:
            logger.warning("%d of %d workers ended early; the trials they were at are lost", lost, count)


def _make_trials(path: Path, number: int) -> None:
    from training.study import make_trials, open_study

    work = pickle.loads(path.read_bytes())  # noqa: S301 - our own file, in a folder of our own
    make_trials(open_study(work.journal, work.fingerprint), work, worker=number)
