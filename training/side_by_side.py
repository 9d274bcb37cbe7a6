"""Fits that do not need each other, at the same time: one on all threads leaves many of them waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def side_by_side(jobs: Sequence[Callable[[int], T]], *, threads: int) -> list[T]:
    """Run jobs at once, as many as there are threads, and share these among them.

    The libraries let other Python threads run while they fit, and fit to the same model on any number of threads, so
    what comes out does not depend on what ran beside it.

    Args:
        jobs: Each told how many threads are its own.
        threads: Threads of all together.

    Returns:
        What the jobs gave, in their order. The first error of one is raised once those already running have ended.

    Example:
        >>> side_by_side([lambda threads: threads, lambda threads: 10 * threads], threads=4)
        [2, 20]
    """
    workers = min(threads, len(jobs))
    if workers <= 1:
        return [job(threads) for job in jobs]
    share = threads // workers
    with ThreadPoolExecutor(workers, thread_name_prefix="salience-fit") as pool:
        running = [pool.submit(job, share) for job in jobs]
        try:
            return [each.result() for each in running]
        finally:
            # After an error those that wait are not begun.
            pool.shutdown(wait=False, cancel_futures=True)
