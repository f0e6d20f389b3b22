"""Seconds per step and peak memory of analysing one study, beside a plain peer measured in the same run.

    python benchmarks/analyze.py [PATH]

PATH is a file or folder of one patient; without it the simulated study of ``myoscope demo`` is used. Each
figure is the median over fresh processes. The peer reads the same files with pydicom and SimpleITK and smooths
them once: what anybody's program would spend before it starts to think. Seconds depend on the machine and, except
those of the processor, on what else it does; the ratios to the peer much less.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

TARGETS = {"first_s": 8.0, "further_s": 2.0, "peak_MB": 1500.0}


@dataclass(frozen=True, slots=True)
class Run:
    """One finished process: seconds from start to exit by clock and processor, peak memory, what it printed."""

    wall_s: float
    processor_s: float
    peak_MB: float
    out: str
    err: str


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, help="file or folder of one patient's study")
    parser.add_argument("--repeat", type=int, default=3, help="fresh processes per figure (default 3)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--inside", choices=["study", "peer"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside == "study":
        _study_inside(chosen.path)
    elif chosen.inside == "peer":
        _peer_inside(chosen.path)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            path = chosen.path or _demo_study(Path(scratch))
            figures = measure(path.resolve(), scratch=Path(scratch), repeat=max(1, chosen.repeat))
        _print(figures)
        if chosen.json:
            chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(path: Path, *, scratch: Path, repeat: int) -> dict[str, float]:
    """All figures of one study, as a flat table of seconds, MB and ratios."""
    here = [sys.executable, str(Path(__file__).resolve()), str(path)]
    command = [sys.executable, "-m", "myoscope.cli", "analyze", str(path), "--quiet", "--out"]
    start = [_run([sys.executable, "-c", "pass"]) for _ in range(repeat)]
    peer = [_run([*here, "--inside", "peer"]) for _ in range(repeat)]
    first = [_run([*command, str(scratch / f"first-{n}")], allowed=(0, 4)) for n in range(repeat)]
    inside = [_run([*here, "--inside", "study"]) for _ in range(repeat)]
    imports = _run([sys.executable, "-X", "importtime", *command[1:], str(scratch / "imports")], allowed=(0, 4))

    reports: list[dict[str, float]] = [json.loads(run.out.splitlines()[-1]) for run in inside]
    figures = {"interpreter_s": _median(r.wall_s for r in start), "peer_s": _median(r.wall_s for r in peer)}
    figures["peer_peak_MB"] = _median(r.peak_MB for r in peer)
    figures["first_s"] = _median(r.wall_s for r in first)
    figures["first_processor_s"] = _median(r.processor_s for r in first)
    figures["first_peak_MB"] = _median(r.peak_MB for r in first)
    for key in reports[0]:
        figures[key] = _median(report[key] for report in reports)
    figures["imports_s"] = _import_seconds(imports.err)
    figures["imports_share_of_first"] = figures["imports_s"] / figures["first_s"]
    figures["first_over_peer"] = figures["first_s"] / figures["peer_s"]
    figures["further_over_peer"] = figures["further_s"] / figures["peer_s"]
    return figures


def _run(command: Sequence[str], *, allowed: tuple[int, ...] = (0,)) -> Run:
    """Run to the end. Memory is the peak of this child alone, as the kernel reports it when it is reaped."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.perf_counter()
        child = subprocess.Popen(
            command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said, complained = out.read().decode(), err.read().decode()
    if child.returncode not in allowed:
        raise SystemExit(f"{' '.join(command)} ended with code {child.returncode}:\n{complained[-2000:]}")
    return Run(wall_s, usage.ru_utime + usage.ru_stime, _peak_MB(usage), said, complained)


def _peak_MB(usage: resource.struct_rusage) -> float:
    # Linux counts in KiB, macOS in bytes.
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


def _study_inside(path: Path) -> None:
    """In a fresh process: import, a first study by step, further studies; printed as one line of JSON."""
    begin = time.perf_counter()
    from myoscope.analyze import analyze

    figures = {"import_analyze_s": time.perf_counter() - begin}
    with tempfile.TemporaryDirectory() as scratch:
        totals: list[float] = []
        processor: list[float] = []
        for n in range(3):
            begin, begin_processor = time.perf_counter(), time.process_time()
            result = analyze([path], Path(scratch) / str(n))
            totals.append(time.perf_counter() - begin)
            processor.append(time.process_time() - begin_processor)
            # A finished result is let go before the next study begins, as in a loop over many.
            steps = _add_up([result.seconds, *(one.seconds for one in result.series)])
            n_series = len(result.series)
            del result
            if n == 0:
                figures.update({f"first.{step}_s": seconds for step, seconds in steps.items()})
                figures["first.write_s"] = totals[0] - sum(steps.values())
        figures.update({f"further.{step}_s": seconds for step, seconds in steps.items()})
        figures["further.write_s"] = totals[-1] - sum(steps.values())
    figures["further_s"] = statistics.median(totals[1:])
    figures["further_processor_s"] = statistics.median(processor[1:])
    figures["n_series"] = float(n_series)
    figures["after_three_peak_MB"] = _peak_MB(resource.getrusage(resource.RUSAGE_SELF))
    print(json.dumps(figures))


def _add_up(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for step, seconds in part.items():
            total[step] = total.get(step, 0.0) + seconds
    return total


def _peer_inside(path: Path) -> None:
    """In a fresh process: read the headers with pydicom, the voxels with SimpleITK, and smooth them once."""
    import pydicom

    simpleitk: Any = import_module("SimpleITK")  # untyped
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        try:
            pydicom.dcmread(file)
        except pydicom.errors.InvalidDicomError:
            continue
        image = simpleitk.Cast(simpleitk.ReadImage(str(file)), simpleitk.sitkFloat32)
        simpleitk.SmoothingRecursiveGaussian(image, 4.0)


def _import_seconds(importtime: str) -> float:
    """Sum of the modules' own times in the output of ``python -X importtime``."""
    own_us = re.findall(r"^import time:\s+(\d+) \|", importtime, re.MULTILINE)
    return sum(map(int, own_us)) / 1e6


def _median(values: Iterable[float]) -> float:
    return float(statistics.median(values))


def _demo_study(scratch: Path) -> Path:
    from myoscope.demo import write_demo_study

    write_demo_study(scratch / "study", seed=1)
    return scratch / "study" / "dicom"


def _print(figures: Mapping[str, float]) -> None:
    peak = max(figures["first_peak_MB"], figures["after_three_peak_MB"])
    rows = (
        ("first study, start to finish", figures["first_s"], "s", _met(figures["first_s"], TARGETS["first_s"])),
        ("  of it, processor time", figures["first_processor_s"], "s", ""),
        ("further study, same process", figures["further_s"], "s", _met(figures["further_s"], TARGETS["further_s"])),
        ("  of it, processor time", figures["further_processor_s"], "s", ""),
        ("peak memory", peak, "MB", _met(peak, TARGETS["peak_MB"])),
        (
            "importing, all modules",
            figures["imports_s"],
            "s",
            f"{figures['imports_share_of_first']:.0%} of the first study",
        ),
        ("peer: read and smooth", figures["peer_s"], "s", f"{figures['peer_peak_MB']:.0f} MB"),
        ("first study / peer", figures["first_over_peer"], "", ""),
        ("further study / peer", figures["further_over_peer"], "", ""),
    )
    print(f"{figures['n_series']:.0f} series, {os.cpu_count()} cores, OMP_NUM_THREADS=1\n")
    for name, value, unit, remark in rows:
        print(f"{name:<32}{value:10.2f} {unit:<3} {remark}".rstrip())
    print(f"\n{'step (seconds, all series)':<32}{'first':>10}{'further':>10}")
    for key, seconds in figures.items():
        if key.startswith("further."):
            step = key.removeprefix("further.").removesuffix("_s")
            print(f"  {step:<30}{figures.get(f'first.{step}_s', 0.0):>10.2f}{seconds:>10.2f}")


def _met(value: float, target: float) -> str:
    return f"target < {target:g}: {'met' if value < target else 'MISSED'}"


if __name__ == "__main__":
    main()
