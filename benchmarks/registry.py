"""How many virtual patients an hour become polar maps, where the time goes, and how many bytes a patient takes.

    python benchmarks/registry.py [--patients N] [--workers K] [--site NAME ...] [--breakdown N] [--json FILE]

Two jobs are timed as a user would run them, processes and files included, start-up left out: stress and rest, ungated
and 8 or 16 gates as the site does it; and stress alone, ungated. Then some patients are made in this process with a
clock round each step. Targets on two cores: 800 and 3,000 patients an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are loaded

import torch

from myoscope import heart, measure, quantify, virtual, virtual_rows
from myoscope.registry import RegistrySettings, simulate_registry
from myoscope.simulate.patient import VirtualPatient
from myoscope.simulate.sites import SITES, site_named

TARGETS = {"stress and rest, gated": 800, "stress, ungated": 3000}
STEPS: dict[str, tuple[Any, str]] = {
    "draw (person to torso and heart)": (virtual_rows, "draw_patient"),
    "scene (beat, tissues, activity)": (VirtualPatient, "scene"),
    "truth maps": (VirtualPatient, "truth_maps"),
    "acquire, ungated": (virtual, "acquire"),
    "acquire, gated": (virtual, "acquire_gated_and_ungated"),
    "reconstruct": (virtual, "reconstruct"),
    "find the heart": (virtual_rows, "_find"),
    "measure the wall": (measure, "measure_wall"),
    "sample polar maps": (heart, "sample_wall"),
    "motion and thickening": (quantify, "regional_function"),
    "phase": (quantify, "phase_analysis"),
}


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--patients", type=int, default=20, help="patients of the gated job; the other takes twice that"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--site", nargs="+", default=list(SITES))
    parser.add_argument("--breakdown", type=int, default=1, help="patients per site whose steps are timed")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"workers": chosen.workers, "sites": chosen.site, "jobs": {}, "breakdown": {}}
    for name, target in TARGETS.items() if chosen.patients > 0 else ():
        gated = "gated" in name and "ungated" not in name
        settings = RegistrySettings(
            seed=1,
            patients=chosen.patients * (1 if gated else 2),
            sites=tuple(chosen.site),
            states=("stress", "rest") if gated else ("stress",),
            gated=gated,
        )
        measured = _job(settings, chosen.workers)
        result["jobs"][name] = measured
        print(
            f"{name}: {measured['patients_per_hour']:.0f} patients an hour with {chosen.workers} workers "
            f"(target {target} on two cores), {measured['bytes_per_patient'] / 1000:.1f} kB per patient "
            f"({settings.patients} patients, {', '.join(chosen.site)})"
        )
    for site in chosen.site if chosen.breakdown > 0 else ():
        for name in TARGETS:
            gated = "ungated" not in name
            seconds = _breakdown(site, chosen.breakdown, gated=gated)
            result["breakdown"][f"{site}, {name}"] = seconds
            print(f"\n{site}, {name}: {seconds.pop('total'):.2f} s of processor per patient")
            for step, value in sorted(seconds.items(), key=lambda item: -item[1]):
                print(f"  {step:<34} {value:6.2f} s")
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _job(settings: RegistrySettings, workers: int) -> dict[str, float]:
    """Patients an hour between the first patient that is done and the last, so that start-up does not count."""
    moments: list[float] = []
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "registry"
        simulate_registry(settings, out, workers=workers, progress=lambda step, share: moments.append(time.monotonic()))
        n_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    done = moments[:-1]  # the last is the merging
    warm = workers  # every worker's first patient pays for tables that the others share
    pace = (len(done) - warm) / (done[-1] - done[warm - 1])
    return {"patients_per_hour": 3600 * pace, "bytes_per_patient": n_bytes / settings.patients}


def _breakdown(site: str, n: int, *, gated: bool) -> dict[str, float]:
    """Seconds per patient of each step, without what a step spends in another one of the list."""
    states: Any = ("stress", "rest") if gated else ("stress",)

    def make(index: int) -> None:
        virtual_rows.image_study(1, site_named(site), "all", index, states=states, gated=gated)

    make(0)
    spent = dict.fromkeys(STEPS, 0.0)
    with _clocks(spent):
        start = time.process_time()
        for index in range(1, n + 1):
            make(index)
        total = time.process_time() - start
    spent["everything else"] = total - sum(spent.values())
    return {"total": total / n, **{step: value / n for step, value in spent.items()}}


@contextmanager
def _clocks(spent: dict[str, float]) -> Iterator[None]:
    running: list[str] = []
    since = [0.0]

    def clocked(step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            _book(running, since, spent)
            running.append(step)
            try:
                return work(*args, **kwargs)
            finally:
                _book(running, since, spent)
                running.pop()

        return timed

    before = {step: getattr(place, name) for step, (place, name) in STEPS.items()}
    for step, (place, name) in STEPS.items():
        setattr(place, name, clocked(step, before[step]))
    try:
        yield
    finally:
        for step, (place, name) in STEPS.items():
            setattr(place, name, before[step])


def _book(running: list[str], since: list[float], spent: dict[str, float]) -> None:
    """Put the time since the last change down to the innermost step under way."""
    now = time.process_time()
    if running:
        spent[running[-1]] += now - since[0]
    since[0] = now


if __name__ == "__main__":
    main()
