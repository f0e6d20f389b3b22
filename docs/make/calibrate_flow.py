"""Solve how wide the intervals of blood flow must be beyond the fit's own error, and write it into the package.

    python docs/make/calibrate_flow.py [--patients 56] [--workers 2]

Rewrites `src/myoscope/quantify/flow/interval_constants.py`. Rest and stress twice each of virtual patients (rubidium,
seeds from 100, movement as in the validation): what a fit cannot see of its own error is set so that 95 % of intervals
hold the truth. The seeds are not those of the validation.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from flow_runs import TRACER, one_patient, usable

from myoscope.quantify.flow.interval_constants import UNSEEN_LOG_SD

CONSTANTS = Path(__file__).parents[2] / "src/myoscope/quantify/flow/interval_constants.py"
FIRST_SEED = 100
KINDS = {"segment": "segments", "vessel": "vessels", "whole": "whole"}
_TEXT = '''"""What a fit of flow cannot see of its own error: of {n} virtual patients ({tracer}, seeds {first}-{last}).

Written by `python docs/make/calibrate_flow.py`; do not edit by hand. Standard deviations of the logarithm of flow by
region: blood and wall read in wrong places, movement left over, what the model has wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

UNSEEN_LOG_SD: Mapping[str, float] = {{{values}}}
'''


def _one(index: int, n: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    return one_patient(FIRST_SEED + index, index, n, compare=False)


def unseen_log_sd(patients: list[dict[str, Any]], kind: str) -> float:
    """The standard deviation that, added to the fit's own, makes 95 % of intervals hold the truth."""
    needed = []
    for one in patients:
        for scan in filter(usable, one["scans"]):
            for value, low, high, true in scan[KINDS[kind]]:
                if value is not None:
                    own = (0.5 * np.log(high / low)) ** 2 - (1.96 * UNSEEN_LOG_SD[kind]) ** 2
                    needed.append(np.sqrt(max(np.log(value / true) ** 2 - own, 0.0)) / 1.96)
    return float(np.quantile(needed, 0.95))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=56)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    patients = []
    with ProcessPoolExecutor(asked.workers, mp_context=get_context("spawn")) as pool:
        for one in pool.map(partial(_one, n=asked.patients), range(asked.patients)):
            patients.append(one)
            print(f"\r{len(patients)} of {asked.patients} patients", end="", flush=True)
    values = ", ".join(f'"{kind}": {unseen_log_sd(patients, kind):.3g}' for kind in KINDS)
    last = FIRST_SEED + asked.patients - 1
    text = _TEXT.format(n=asked.patients, tracer=TRACER, first=FIRST_SEED, last=last, values=values)
    CONSTANTS.write_text(text, encoding="utf-8")
    print(f"\n{values}")


if __name__ == "__main__":
    main()
