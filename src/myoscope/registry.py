"""A registry of virtual patients: many studies from one seed to a cohort folder. Read top to bottom.

patient by patient, in processes: draw -> photograph -> reconstruct -> find the heart -> polar maps; every 25 patients
become a part on disk, whole or not at all; parts become one cohort, in the order of the patients.

A patient depends on the seed, the site and its own number, never on how many others there are or how many processes
work. What is stored is therefore the same, byte for byte, whatever ``workers`` is, on one kind of processor. A run
that was killed goes on after the parts that it left.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import myoscope
from myoscope import io
from myoscope.core import Cohort, InvalidValue, MyoscopeError, OutputError
from myoscope.simulate.referral import POPULATIONS, Population
from myoscope.simulate.sites import State, site_named
from myoscope.virtual import StudyRow, image_study, study_columns, study_maps

PATIENTS_PER_PART = 25
_SETTINGS_FILE = "registry.json"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction that is behind us, 0 to 1."""


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Which virtual patients, and what is made of each.

    Patients are dealt out to the ``sites`` in turn. ``states`` are what is imaged; ``gated`` adds function by 8 or 16
    gates, as the site does it; ``all_positions`` images stress in every position of the site instead of the first.
    """

    seed: int
    patients: int
    sites: tuple[str, ...]
    population: Population = "all"
    states: tuple[State, ...] = ("stress", "rest")
    gated: bool = True
    all_positions: bool = False
    first_patient: int = 0

    def __post_init__(self) -> None:
        if self.patients < 1:
            raise InvalidValue(f"a registry has at least one patient, got {self.patients}")
        if self.seed < 0 or self.first_patient < 0:
            raise InvalidValue("seeds and numbers of patients are not negative")
        if not self.sites or len(set(self.sites)) != len(self.sites):
            raise InvalidValue(f"a registry needs sites, each once, got {', '.join(self.sites) or 'none'}")
        for name in self.sites:
            site_named(name)
        if self.population not in POPULATIONS:
            raise InvalidValue(f"a population is {', '.join(POPULATIONS)}, not {self.population!r}")
        if not self.states or not set(self.states) <= {"stress", "rest"}:
            raise InvalidValue(f"states are stress and rest, got {', '.join(self.states) or 'none'}")

    def site_of(self, index: int) -> str:
        """The site of a patient by its number from 0."""
        return self.sites[index % len(self.sites)]


def simulate_registry(
    settings: RegistrySettings,
    out: Path,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> str:
    """Simulate the registry into the cohort folder ``out``; returns its hash.

    While it runs, parts lie in ``<out>.parts``; called again with the same settings after a kill, it goes on from
    there. The parts are removed when the cohort stands.

    Raises
    ------
    InvalidValue
        Fewer than one worker.
    OutputError
        ``out`` exists (and may not be replaced), ``<out>.parts`` belongs to another registry, or nothing can be
        written there.
    MyoscopeError
        A worker process was killed; the sentence says how to go on.
    """
    if workers < 1:
        raise InvalidValue(f"a registry needs at least one worker, got {workers}")
    tell = progress or (lambda step, fraction: None)
    io.refuse_existing(out, replace=overwrite, sign=io.COHORT_MANIFEST)
    parts = out.with_name(f"{out.name}.parts")
    _claim(parts, settings)
    numbers = range(-(-settings.patients // PATIENTS_PER_PART))
    paths = [parts / f"part-{number:05d}.npz" for number in numbers]
    missing = [number for number in numbers if not paths[number].exists()]
    for number, rows in _rows_of_parts(settings, missing, workers, tell):
        io.write_part(paths[number], _part(settings, rows))
    tell("putting the parts together", 1.0)
    sha256 = io.merge_parts(paths, out, replace=overwrite)
    shutil.rmtree(parts, ignore_errors=True)
    return sha256


def _claim(parts: Path, settings: RegistrySettings) -> None:
    """The folder of parts for these settings: made, or left by an earlier run of the same."""
    mine = json.dumps({"version": myoscope.__version__, **asdict(settings)}, sort_keys=True)
    try:
        parts.mkdir(parents=True, exist_ok=True)
        file = parts / _SETTINGS_FILE
        if not file.exists():
            if any(parts.iterdir()):
                raise OutputError(f"{parts} is not empty and holds no parts of a registry; choose another --out")
            with io.atomic_write(file, "w") as writing:
                writing.write(mine)
        elif file.read_text(encoding="utf-8") != mine:
            raise OutputError(
                f"{parts} holds parts of a registry with other settings; remove it to start anew, or choose another "
                "--out"
            )
    except OSError as error:
        raise io.output_error(parts, error) from error


def _members(settings: RegistrySettings, part: int) -> range:
    first = part * PATIENTS_PER_PART
    return range(first, min(first + PATIENTS_PER_PART, settings.patients))


def _part(settings: RegistrySettings, rows: Sequence[StudyRow]) -> io.CohortPart:
    columns = study_columns()
    cohort = Cohort(
        np.array([row.patient for row in rows]),
        np.array([row.study for row in rows]),
        columns,
        {column.name: _column([row.values[column.name] for row in rows]) for column in columns},
        _made_by(settings),
    )
    kinds = study_maps(settings.states, settings.sites, gated=settings.gated)
    empty = {kind.name: np.full(kind.shape, np.nan, np.float32) for kind in kinds}
    values = {kind.name: np.stack([row.maps.get(kind.name, empty[kind.name]) for row in rows]) for kind in kinds}
    return io.CohortPart.of(cohort, kinds, values)


def _column(values: Sequence[float | int | bool | str]) -> np.ndarray[Any, Any]:
    """One type per column, whatever the rows of one part happen to hold."""
    if isinstance(values[0], str):
        return np.array(values, np.str_)
    if isinstance(values[0], bool | np.bool_):
        return np.array(values, np.bool_)
    return np.array(values, np.float64)


def _made_by(settings: RegistrySettings) -> tuple[str, ...]:
    return (
        f"myoscope simulate registry --seed {settings.seed} --patients {settings.patients}",
        f"--site {' '.join(settings.sites)} --population {settings.population}",
        f"states {' '.join(settings.states)}, {'gated' if settings.gated else 'ungated'}",
        *(("all positions",) if settings.all_positions else ()),
        f"first patient {settings.first_patient}; virtual patients, not people; myoscope {myoscope.__version__}",
    )


def _rows_of_parts(
    settings: RegistrySettings, parts: Sequence[int], workers: int, tell: Progress
) -> Iterator[tuple[int, list[StudyRow]]]:
    """Each part with its rows as soon as all of them are there."""
    todo = [(part, index) for part in parts for index in _members(settings, part)]
    before = settings.patients - len(todo)
    rows: dict[int, dict[int, StudyRow]] = {}
    start = time.monotonic()
    for done, ((part, index), row) in enumerate(_in_processes(partial(_study, settings), todo, workers), start=1):
        rows.setdefault(part, {})[index] = row
        pace = done / max(time.monotonic() - start, 1e-9)
        left_min = (len(todo) - done) / pace / 60
        tell(
            f"patient {before + done} of {settings.patients}, {3600 * pace:.0f} an hour, {left_min:.0f} min left",
            (before + done) / settings.patients,
        )
        members = _members(settings, part)
        if len(rows[part]) == len(members):
            finished = rows.pop(part)
            yield part, [finished[index] for index in members]


def _study(settings: RegistrySettings, index: int) -> StudyRow:
    return image_study(
        settings.seed,
        site_named(settings.site_of(index)),
        settings.population,
        settings.first_patient + index,
        states=settings.states,
        gated=settings.gated,
        all_positions=settings.all_positions,
    )


def _in_processes(
    work: Callable[[int], StudyRow], todo: Sequence[tuple[int, int]], workers: int
) -> Iterator[tuple[tuple[int, int], StudyRow]]:
    """``work`` on every (part, index), in any order; few are under way at a time, so that memory stays bounded."""
    if not todo:
        return
    with _single_threaded_children():
        # Spawned and not forked: a fork inherits locks of libraries that have threads.
        pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread)
        waiting = iter(todo)
        running: dict[Future[StudyRow], tuple[int, int]] = {}
        try:
            while True:
                while len(running) < 2 * workers and (job := next(waiting, None)) is not None:
                    running[pool.submit(work, job[1])] = job
                if not running:
                    break
                ready, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(ready, key=running.__getitem__):
                    job = running.pop(future)
                    yield job, future.result()
        except BrokenProcessPool as error:
            raise MyoscopeError(
                "A worker process ended unexpectedly, probably for want of memory; run the same command again with "
                "fewer --workers, and it goes on from where it was."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list((getattr(pool, "_processes", None) or {}).values()):
                process.terminate()


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """One thread per process: the libraries read these variables once, when they are loaded."""
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


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
