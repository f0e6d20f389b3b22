"""One polar map of blood flow: 2,880 curves fitted at once, against scipy's curve_fit curve by curve, in the same run.

    python benchmarks/flow.py [--curves 2880] [--repeat 3] [--study FOLDER] [--json FILE]

Curves of a virtual rubidium study (19 frames of six minutes, flows of 0.4 to 4 mL/min/g, both ventricles spilling over,
noise as of a polar-map cell). Both programs fit flow, washout and two spill-overs within the same bounds and with the
same weights, give standard errors, and begin without knowing the answer; curve_fit has its own tolerances. The peer's
model is as fast as numpy and scipy allow for one curve: the same exact convolution by a recursive filter on a grid of
one second. One thread; CPU seconds, the least of several runs that take turns.

``--study`` also times the whole analysis of a rest and stress study (``myoscope simulate pet-patient`` makes one):
reading DICOM, both hearts, flow, reserve, report.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.signal import lfilter

from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve
from myoscope.quantify.flow import Blood, FlowEstimate, WallCurves, frame_weights, lortie

FRAMES = Frames.lasting([*[10] * 12, *[20] * 3, *[30] * 2, *[60] * 2])
STEP_MIN = 1 / 60
TARGET, TOLERANCE = 15.0, 1e-3
STUDY_TARGET_S = 15.0


def bolus(delay_min: float, scale: float) -> TimeCurve:
    since = np.arange(0, 6.1, STEP_MIN)
    value = (2000 * since - 38) * np.exp(-8 * since) + 20 * np.exp(-0.7 * since) + 18 * np.exp(-0.05 * since)
    return TimeCurve(delay_min + since, scale * value)


def patient(n: int, seed: int) -> WallCurves:
    """Curves of n cells; the input's nodes lie on whole seconds, so that the peer's grid holds it exactly."""
    rng = np.random.default_rng(seed)
    left, right = (Blood.from_curve(FRAMES, bolus(*where)) for where in ((0.25, 1.0), (0.1, 1.3)))
    model = lortie()
    flow = rng.uniform(0.4, 4.0, n)
    kinetic = np.stack([flow, model.uptake_rate(flow) / rng.uniform(3, 7, n)], axis=1)
    blank = WallCurves(FRAMES, np.ones((n, len(FRAMES))), left, right)
    spill = np.stack([rng.uniform(0.15, 0.4, n), rng.uniform(0.02, 0.2, n)], axis=1)
    made = (1 - spill.sum(1))[:, None] * model.tissue(kinetic, blank)[0] + spill @ np.stack([left.means, right.means])
    weight = frame_weights(FRAMES, made.mean(axis=0), nuclide="Rb-82")
    made = made + 0.6 / np.sqrt(weight) * rng.standard_normal(made.shape)
    return WallCurves(FRAMES, made, left, right, weight=weight)


class Peer:
    """curve_fit of one curve after the other."""

    def __init__(self, curves: WallCurves) -> None:
        assert curves.right is not None
        assert curves.weight is not None
        self.curves = curves
        self.left, self.right = curves.left.means, curves.right.means
        n = round(float(FRAMES.end_min[-1]) / STEP_MIN)
        edge = np.arange(n + 1) * STEP_MIN
        self.begin, self.rise = curves.left.curve.at(edge[:-1]), np.diff(curves.left.curve.at(edge))
        first = np.rint(FRAMES.start_min / STEP_MIN).astype(int)
        last = np.rint(FRAMES.end_min / STEP_MIN).astype(int)
        self.mean = np.array([[a <= k < b for k in range(n)] for a, b in zip(first, last, strict=True)], float)
        self.mean /= FRAMES.duration_min[:, None]
        self.sigma = 1 / np.sqrt(curves.weight)

    def model(self, _: Any, flow: float, k2: float, v_lv: float, v_rv: float) -> NDArray[np.float64]:
        h, k1 = STEP_MIN, 1.05 * flow * (1 - 0.77 * np.exp(-0.63 / max(flow, 1e-9)))
        z = max(k2 * h, 1e-6)
        p0 = np.exp(-z)
        p1 = -np.expm1(-z) / z
        p2 = (1 - p1) / z
        p3 = (0.5 - p2) / z
        end = lfilter([1.0], [1.0, -p0], h * (p1 * self.begin + p2 * self.rise))
        start = np.concatenate([[0.0], end[:-1]])
        area = h * p1 * start + h**2 * (p2 * self.begin + p3 * self.rise)
        tissue = k1 * (self.mean @ area)
        result: NDArray[np.float64] = (1 - v_lv - v_rv) * tissue + v_lv * self.left + v_rv * self.right
        return result

    def run(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values, errors = [], []
        bounds = ([0, 0, 0, 0], [8, 8, 1, 1])
        for curve in self.curves.tissue:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a covariance it cannot give is a missing error, not a message
                value, covariance = curve_fit(
                    self.model, FRAMES.middle_min, curve, p0=[1.0, 0.2, 0.3, 0.1], sigma=self.sigma, bounds=bounds
                )
            values.append(value)
            errors.append(np.sqrt(np.diag(covariance)))
        return np.array(values), np.array(errors)


def whole_study(folder: Path, *, workers: int) -> float:
    """Seconds by the clock for one analysis, files to report; of this process, imports are not counted."""
    from myoscope.analyze import Settings, analyze

    with tempfile.TemporaryDirectory() as place:
        clock = time.perf_counter()
        analyze([folder], Path(place) / "out", settings=Settings(workers=workers))
        return time.perf_counter() - clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", type=int, default=2880)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--study", type=Path, help="folder of a PET study, rest and stress")
    parser.add_argument("--workers", type=int, default=2, help="processes that analyse it (default 2)")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    curves = patient(chosen.curves, chosen.seed)
    peer, model = Peer(curves), lortie()
    ours_s, peer_s = [], []
    found: FlowEstimate | None = None
    for _ in range(chosen.repeat):
        start = time.process_time()
        found = model.estimate(curves)
        ours_s.append(time.process_time() - start)
    start = time.process_time()
    values, errors = peer.run()
    peer_s.append(time.process_time() - start)
    for _ in range(chosen.repeat):
        start = time.process_time()
        found = model.estimate(curves)
        ours_s.append(time.process_time() - start)
    assert found is not None
    good = ~found.failed
    # Parameters near 0 are compared with what matters of them: a hundredth of a spill-over, of a washout.
    apart = np.abs(found.value[good] - values[good]) / np.maximum(np.abs(values[good]), 0.01)
    inside = ~found.at_bound[good].any(axis=1)
    apart_se = np.abs(found.standard_error[good][inside] / errors[good][inside] - 1)
    ratio = min(peer_s) / min(ours_s)
    result = {
        "curves": chosen.curves,
        "ours_s": min(ours_s),
        "curve_fit_s": min(peer_s),
        "ratio": ratio,
        "target": TARGET,
        "curves_without_flow": int(found.failed.sum()),
        "largest_relative_difference_of_parameters": float(apart.max()),
        "share_equal_to_1e-3": float((apart.max(axis=1) < TOLERANCE).mean()),
        "median_relative_difference_of_errors": float(np.median(apart_se)),
    }
    print(f"{chosen.curves} curves, 4 parameters each, {len(FRAMES)} frames, one thread, CPU seconds")
    print(f"here                {min(ours_s):8.3f} s   ({1e3 * min(ours_s) / chosen.curves:.3f} ms per curve)")
    print(f"scipy curve_fit     {min(peer_s):8.3f} s   ({1e3 * min(peer_s) / chosen.curves:.3f} ms per curve)")
    print(f"ratio               {ratio:8.1f}     target {TARGET:g}: {'reached' if ratio >= TARGET else 'not reached'}")
    print(f"parameters differ by at most {apart.max():.1e} of their value (tolerance {TOLERANCE:g}), ", end="")
    print(f"standard errors by {np.median(apart_se):.1e} (median); {result['curves_without_flow']} curves without flow")
    if chosen.study:
        wall_s = whole_study(chosen.study, workers=chosen.workers)
        result |= {"study_wall_s": wall_s, "study_workers": chosen.workers, "study_target_s": STUDY_TARGET_S}
        print(f"whole study         {wall_s:8.1f} s, {chosen.workers} processes; target {STUDY_TARGET_S:g} s")
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
