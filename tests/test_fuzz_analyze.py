"""Damaged files through the whole program: each ends in a result or in one clear sentence.

``make test`` runs 60 files. All 2,000 are run, and their tally printed, by

    python -m pytest -m slow -s tests/test_fuzz_analyze.py

Every file goes through the command line in this process: reading, analysis, report and writing. The heart is looked
for once per distinct image: a file whose damage left its voxels and their place as they were is not searched again,
but its results are written and checked like all others.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nm_factory
import numpy as np
import pytest
from mutate import mutations
from typer.testing import CliRunner

from myoscope import io
from myoscope.cli import app
from myoscope.core import CardiacFrame, Gating, Grid, HeartResult, MyoscopeError, Volume
from myoscope.simulate import lv_phantom

SEED = 20261121
HANG_S = 30
MORE_MEMORY_MB = 1500
ANALYSED, NOTHING, IN_PART = 0, 3, 4


class _Hang(BaseException):
    """A file that took too long; not an Exception, so that no handler for those can swallow it."""


@dataclass
class _Tally:
    """What became of the files, and everything that must not have happened."""

    outcomes: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    n_images_searched: int = 0


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Sound files of one patient: reconstructions in several transfer syntaxes, gated, and projections."""
    folder = tmp_path_factory.mktemp("originals")
    grid = Grid.axis_aligned((32, 32, 28), spacing_mm=6.5)
    frame = CardiacFrame(np.array([8.0, -10.0, 4.0]), np.array([0.5, -0.8, -0.35]))
    heart = lv_phantom(grid, frame=frame, fwhm_mm=11, rng=np.random.default_rng(1)).volume
    gates = np.stack([np.asarray(heart.array)] * 4)
    gated = Volume(gates, heart.grid, heart.unit, frame_axis="gate", gating=Gating(4, rr_ms=900))
    images: tuple[tuple[str, Volume, str], ...] = (
        ("explicit", heart, "explicit"),
        ("implicit", heart, "implicit"),
        ("rle", heart, "rle"),
        ("jpeg-ls", heart, "jpeg-ls"),
        ("gated", gated, "explicit"),
    )
    files = {}
    for name, volume, syntax in images:
        path = folder / f"{name}.dcm"
        io.write_nm(volume, path, description=_patient("A", name), transfer_syntax=syntax)  # type: ignore[arg-type]
        files[name] = path.read_bytes()
    files["projections"] = nm_factory.to_bytes(nm_factory.tomo(n_detectors=2))
    return files


def _patient(who: str, uid_seed: str) -> io.NmDescription:
    return io.NmDescription(
        patient_name=f"Nobody^{who}", patient_id=f"NOBODY-{who}", state="rest", uid_seed=f"{who} {uid_seed}"
    )


@pytest.fixture(scope="module")
def other_patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sound image of somebody else."""
    path = tmp_path_factory.mktemp("other") / "other.dcm"
    grid = Grid.axis_aligned((8, 8, 6), spacing_mm=10)
    counts = np.random.default_rng(2).poisson(50, grid.shape).astype(np.uint16)
    io.write_nm(Volume(counts, grid, "counts"), path, description=_patient("B", "other"))
    return path


@contextmanager
def _no_longer_than(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _Hang

    # Seconds of the processor, not of the clock: a busy machine is no hang. One that sleeps meets pytest's timeout.
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak_MB() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def _run(originals: dict[str, bytes], other: Path, scratch: Path, n: int) -> _Tally:
    tally = _Tally()
    names = sorted(originals)
    damaged = {name: mutations(originals[name], n, SEED) for name in names}
    memory_before = _peak_MB()
    for number in range(n):
        name = names[number % len(names)]
        what = f"file {number} ({name})"
        file, out = scratch / "damaged.dcm", scratch / f"out-{number}"
        file.write_bytes(next(damaged[name]))
        begin = time.process_time()
        try:
            with _no_longer_than(HANG_S):
                _one(file, out, other, what, tally)
        except _Hang:
            tally.wrong.append(f"{what} took more than {HANG_S} s of processor time")
        tally.slowest_s = max(tally.slowest_s, time.process_time() - begin)
        if _peak_MB() - memory_before > MORE_MEMORY_MB:
            tally.wrong.append(f"{what} brought the memory to {_peak_MB():.0f} MB from {memory_before:.0f} MB")
            memory_before = _peak_MB()
    return tally


def _one(file: Path, out: Path, other: Path, what: str, tally: _Tally) -> None:
    """One damaged file alone through the command line, then read together with another patient's."""
    answer = CliRunner().invoke(app, ["analyze", str(file), "--out", str(out), "--quiet"])
    code = int(answer.exit_code)
    sentences = answer.stderr.strip().splitlines()
    names = {ANALYSED: "analysed", IN_PART: "in part, with the reason", NOTHING: "refused with a sentence"}
    tally.outcomes[names.get(code, f"code {code}")] += 1
    if code not in names or "Traceback" in answer.stderr or (code != ANALYSED and not sentences):
        tally.wrong.append(f"{what} ended with code {code}: {answer.stderr.strip()[:300]}")
    if code == NOTHING:
        tally.sentences[_kind_of(sentences[0])] += 1
        if out.exists():
            tally.wrong.append(f"{what} was refused and left an output")
    elif out.exists():
        json.loads((out / "result.json").read_text())
        if not (out / "report.html").stat().st_size:
            tally.wrong.append(f"{what} gave an empty report")
    if any(p.name.endswith(".part") for p in out.parent.iterdir()):
        tally.wrong.append(f"{what} left a part behind")
    try:
        found = io.read_paths([other, file])
    except MyoscopeError:
        return
    inputs = {source.sha256 for series in found.study.series for source in series.sources}
    if len(inputs) > 1:
        tally.wrong.append(f"{what} was mixed with another patient's image")


def _kind_of(sentence: str) -> str:
    """A sentence without the values in it, to count alike ones together."""
    return " ".join(word for word in sentence.split() if not any(c.isdigit() for c in word))[:90]


def _report(tally: _Tally, n: int, seconds: float) -> str:
    lines = [f"{n} damaged files, seed {SEED}, {seconds:.0f} s, slowest file {tally.slowest_s:.1f} s of processor time"]
    lines += [f"  {count:5d}  {outcome}" for outcome, count in tally.outcomes.most_common()]
    lines += [f"  {tally.n_images_searched:5d}  distinct images searched for a heart", "  refused because:"]
    lines += [f"  {count:5d}  {sentence}" for sentence, count in tally.sentences.most_common(25)]
    lines += [f"  WRONG: {line}" for line in tally.wrong]
    return "\n".join(lines)


@pytest.mark.parametrize("n", [60, pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.timeout(5 * 3600)])])
def test_damaged_files_end_in_a_result_or_a_sentence(
    n: int,
    originals: dict[str, bytes],
    other_patient: Path,
    searched_once: dict[bytes, HeartResult | MyoscopeError],
    tmp_path: Path,
) -> None:
    begin = time.perf_counter()
    tally = _run(originals, other_patient, tmp_path, n)
    tally.n_images_searched = len(searched_once)
    with_figures = _report(tally, n, time.perf_counter() - begin)
    sys.stdout.write("\n" + with_figures + "\n")
    assert tally.wrong == []
    assert sum(tally.outcomes.values()) == n
    assert min(tally.outcomes.values()) < n, "every file met the same fate: the damage is not varied"
