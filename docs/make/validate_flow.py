"""Blood flow against what is true of virtual patients: exact cases, repeatability, models, movement, residual activity.

    python docs/make/validate_flow.py [--seed 1600] [--patients 24] [--spread 24] [--few 4] [--ways 10]
        [--loud 12] [--workers 2] [--rows FILE]

writes ``docs/validation/flow.md``. About half an hour of one core; with ``--rows`` patients that are done are kept in
a file and not done again. The seeds are not those by which intervals were calibrated (100 to 155, by
`calibrate_flow.py`), movement was set (130 to 141) or blood was learned to be read (800 to 823), nor those that an
earlier page was made of (1200 to 1511).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from flow_page import page
from flow_runs import (
    EDGES,
    LOUD,
    STATES,
    VOLUNTEERS,
    at_mean,
    implementations,
    imposed,
    left_over,
    one_patient,
    other_tracers,
)

from myoscope.simulate.sites import State

PAGE = Path(__file__).parents[1] / "validation" / "flow.md"
Work = Callable[[], dict[str, Any]]


def _timed(work: Work) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    start = time.process_time()
    return {**work(), "cpu_s": time.process_time() - start}


def run(jobs: dict[str, Work], *, workers: int, rows: Path | None) -> dict[str, dict[str, Any]]:
    """Every job's answer by its name; those that ``rows`` holds already are not done again."""
    kept: dict[str, dict[str, Any]] = json.loads(rows.read_text()) if rows and rows.exists() else {}
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        begun = {pool.submit(_timed, work): key for key, work in jobs.items() if key not in kept}
        for one in as_completed(begun):
            kept[begun[one]] = one.result()
            print(f"{begun[one]}: {kept[begun[one]]['cpu_s']:.0f} s", flush=True)
            if rows:
                rows.write_text(json.dumps(kept))
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1600)
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument(
        "--spread", type=int, default=24, help="places over the range of flows, of which patients take the first"
    )
    parser.add_argument("--few", type=int, default=4, help="patients of the other parts")
    parser.add_argument("--ways", type=int, default=10, help="patients of the ways to apply one model")
    parser.add_argument("--loud", type=int, default=12, help="patients scanned with more noise")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--rows", type=Path, help="file that keeps what is done")
    chosen = parser.parse_args()
    seed = chosen.seed
    few = range(seed + 100, seed + 100 + chosen.few)
    normal: list[tuple[State, float]] = [(state, VOLUNTEERS[state]) for state in STATES]
    extremes: list[tuple[State, float]] = list(zip(STATES, EDGES, strict=True))
    parts: dict[str, list[Work]] = {
        "patient": [partial(one_patient, seed + k, k, chosen.spread) for k in range(chosen.patients)],
        "edges": [partial(at_mean, s, extremes) for s in few],
        "volunteer": [partial(at_mean, s, normal) for s in few],
        "moved": [partial(imposed, s) for s in few],
        "left": [partial(left_over, s) for s in few[:2]],
        "others": [partial(other_tracers, s) for s in few],
        "loud": [
            partial(one_patient, seed + 300 + k, k, chosen.loud, compare=False, noise=LOUD) for k in range(chosen.loud)
        ],
        "ways": [partial(implementations, seed + 200 + k, k, chosen.ways) for k in range(chosen.ways)],
    }
    jobs = {f"{name} {k}": work for name, part in parts.items() for k, work in enumerate(part)}
    kept = run(jobs, workers=chosen.workers, rows=chosen.rows)
    found = {name: [kept[f"{name} {k}"] for k in range(len(part))] for name, part in parts.items()}
    PAGE.write_text(page(chosen, found), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
