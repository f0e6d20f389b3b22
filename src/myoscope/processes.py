"""Work done side by side in processes of one thread each.

Processes are spawned and not forked: a fork inherits the locks of libraries that have threads. Each runs one thread,
leaves the keyboard to its parent and ends when its parent is gone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from typing import Any, TypeVar

from myoscope.core import WorkerDied

J = TypeVar("J")
R = TypeVar("R")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def processes(workers: int, *, broken: str) -> Iterator[ProcessPoolExecutor]:
    """So many processes; whatever they still do at the end is given up.

    Raises
    ------
    WorkerDied
        With the sentence ``broken``, if one of them ended unexpectedly.
    """
    with _single_threaded():
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin)
        try:
            yield pool
        except BrokenProcessPool as error:
            raise WorkerDied(broken) from error
        finally:
            # Shutting down forgets the processes, and leaving the program would wait for what they do.
            running = list((getattr(pool, "_processes", None) or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.terminate()


def in_processes(
    work: Callable[[int], R], todo: Sequence[tuple[J, int]], workers: int, *, broken: str
) -> Iterator[tuple[tuple[J, int], R]]:
    """``work`` on the second of every pair, in any order; few are under way at a time, so that memory stays bounded.

    Raises
    ------
    WorkerDied
        See `processes`.
    """
    if not todo:
        return
    with processes(workers, broken=broken) as pool:
        waiting = iter(enumerate(todo))
        running: dict[Future[R], int] = {}
        while True:
            while len(running) < 2 * workers and (job := next(waiting, None)) is not None:
                running[pool.submit(work, job[1][1])] = job[0]
            if not running:
                break
            ready, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(ready, key=running.__getitem__):
                yield todo[running.pop(future)], future.result()


@contextmanager
def _single_threaded() -> Iterator[None]:
    """One thread per process: the libraries read these variables once, when they are loaded.

    So does what this process itself loads meanwhile: it shares the cores with its workers.
    """
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin() -> None:
    """A worker's first step: deaf to the keyboard (its parent hears), gone when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()


def _leave_with(sentinel: Any) -> None:
    connection.wait([sentinel])
    os._exit(1)
