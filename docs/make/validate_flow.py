"""Blood flow against what is true of virtual patients: exact cases, repeatability, models, movement, residual activity.

    python docs/make/validate_flow.py [--seed 800] [--patients 24] [--spread 24] [--few 4] [--ways 10]
        [--rows FILE]

writes ``docs/validation/flow.md``. One core, about twenty minutes of it; with ``--rows`` patients that are
done are kept in a file and not done again. The seeds are not those by which intervals were calibrated (100 to 155, by
`calibrate_flow.py`) or by which movement was set (130 to 141).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from flow_page import page
from flow_runs import (
    EDGES,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=800)
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument(
        "--spread", type=int, default=24, help="places over the range of flows, of which patients take the first"
    )
    parser.add_argument("--few", type=int, default=4, help="patients of the other parts")
    parser.add_argument("--ways", type=int, default=10, help="patients of the ways to apply one model")
    parser.add_argument("--rows", type=Path, help="file that keeps what is done")
    chosen = parser.parse_args()
    kept: dict[str, Any] = json.loads(chosen.rows.read_text()) if chosen.rows and chosen.rows.exists() else {}

    def done(key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if key not in kept:
            start = time.process_time()
            made = work()
            kept[key] = {**made, "cpu_s": time.process_time() - start}
            print(f"{key}: {kept[key]['cpu_s']:.0f} s", flush=True)
            if chosen.rows:
                chosen.rows.write_text(json.dumps(kept))
        found: dict[str, Any] = kept[key]
        return found

    seed, n = chosen.seed, chosen.patients
    patients = [done(f"patient {seed + k}", partial(one_patient, seed + k, k, chosen.spread)) for k in range(n)]
    few = range(seed + 100, seed + 100 + chosen.few)
    normal: list[tuple[State, float]] = [(state, VOLUNTEERS[state]) for state in STATES]
    extremes: list[tuple[State, float]] = list(zip(STATES, EDGES, strict=True))
    moved = [done(f"moved {s}", partial(imposed, s)) for s in few]
    left = [done(f"left {s}", partial(left_over, s)) for s in few[:2]]
    volunteers = [done(f"volunteer {s}", partial(at_mean, s, normal)) for s in few]
    edges = [done(f"edges {s}", partial(at_mean, s, extremes)) for s in few]
    others = [done(f"others {s}", partial(other_tracers, s)) for s in few]
    every_way = enumerate(range(seed + 200, seed + 200 + chosen.ways))
    ways = [done(f"ways {s}", partial(implementations, s, k, chosen.ways)) for k, s in every_way]
    used = sum(one["cpu_s"] for one in (*ways, *patients, *volunteers, *edges, *moved, *left, *others))
    PAGE.write_text(page(chosen, patients, edges, volunteers, moved, left, others, ways, used), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
