"""Read off the true shapes of virtual hearts what walls are usual, and write it into the package.

    python docs/make/calibrate_wall.py

Rewrites `src/myoscope/heart/usual_wall_constants.py`: how much muscle goes with the volume inside the mid-wall, how
long ventricles of a given width are and how they shorten in a beat, how the valve plane leans, how the wall thins
towards the apex and how much muscle stands inside the cavity. Only shapes are drawn, no images; the patients are not
those of any validation.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from myoscope.core import Surfaces
from myoscope.core.surfaces import enclosed_mL
from myoscope.simulate.patient import draw_patient
from myoscope.simulate.sites import SITES

CONSTANTS = Path(__file__).parents[2] / "src/myoscope/heart/usual_wall_constants.py"
REFERENCE_MID_ML = 150.0
Array = NDArray[np.float64]

_TEXT = '''"""What walls are usual: read off the true shapes of {n} virtual hearts (seed {seed}), which follow MRI.

Written by `python docs/make/calibrate_wall.py`; do not edit by hand.
"""

from __future__ import annotations

REFERENCE_MID_ML = {reference:.1f}
# Wall volume over the volume inside the mid-wall: share at the reference volume, and power of the volume. At end
# diastole, and averaged over the beat. Spread of its logarithm between people: {gated_sd:.3f} and {ungated_sd:.3f}.
GATED_WALL = ({gated[0]:.3f}, {gated[1]:.3f})
UNGATED_WALL = ({ungated[0]:.3f}, {ungated[1]:.3f})
# Length from the apex to the valve plane (mid-wall, mm): exp(a) radius^b, spread of its logarithm; end diastole and
# end systole together.
LENGTH_LOG, LENGTH_POWER, LENGTH_LOG_SD = {length[0]:.3f}, {length[1]:.3f}, {length[2]:.3f}
# One heart over its beat: its length follows this power of its radius (spread of the logarithm {beat_sd:.3f}).
BEAT_POWER = {beat:.3f}
# Mean slope of the valve plane towards lateral and anterior, and its spread.
VALVE_SLOPE, VALVE_SLOPE_SD = ({slope[0]:.3f}, {slope[1]:.3f}), ({slope_sd[0]:.3f}, {slope_sd[1]:.3f})
# The wall thins towards the apex by this share, with this reach in arc length.
APICAL_THINNING, APICAL_REACH = {thinning:.3f}, {reach:.3f}
# Muscle inside the cavity as a share of the wall's: papillary muscles stand between these arc lengths and reach this
# far towards the axis at end diastole; trabeculae line the endocardium down to an arc length.
PAPILLARY_SHARE, PAPILLARY_ARC, PAPILLARY_DEPTH = {papillary:.3f}, (0.37, 0.74), 0.46
TRABECULAE_SHARE, TRABECULAE_END = {trabeculae:.3f}, 0.85
'''


def log_line(x: Array, y: Array) -> tuple[float, float, float]:
    """Intercept, slope and spread of log y against log x."""
    design = np.column_stack([np.ones_like(x), np.log(x)])
    solution, *_ = np.linalg.lstsq(design, np.log(y), rcond=None)
    spread = float((np.log(y) - design @ solution).std(ddof=2))
    return float(solution[0]), float(solution[1]), spread


def width_and_length_mm(surfaces: Surfaces, gate: int) -> tuple[float, float]:
    """Radius of the mid-wall below its cap and its length, as `heart.wall_end` sees them."""
    mid = surfaces.frame.to_heart(surfaces.mid_mm[gate])
    depth = mid[0, :, 2].mean() - mid[..., 2].mean(axis=1)
    ring = np.linalg.norm(mid[..., :2] - mid[..., :2].mean(axis=1, keepdims=True), axis=-1).mean(axis=1)
    cap = float(np.clip(0.8 * ring[len(ring) // 2], 12, 26))
    at = np.linspace(cap + 10, min(cap + 32.5, depth[-1]), 10)
    return float(np.interp(at, depth, ring).mean()), float(depth[-1])


def valve_slope(surfaces: Surfaces, gate: int) -> Array:
    """Rise of the last ring towards lateral and up, by least squares."""
    rim = surfaces.frame.to_heart(surfaces.mid_mm[gate, -1])
    rim = rim - rim.mean(axis=0)
    solution: Array = np.linalg.lstsq(rim[:, :2], rim[:, 2], rcond=None)[0]
    return solution


def apical_pattern(surfaces: Surfaces, gate: int) -> Array:
    """Thickness of every ring of nodes over that of the body."""
    ring: Array = surfaces.thickness_mm[gate].mean(axis=1)
    body = slice(len(ring) // 3, 4 * len(ring) // 5)
    return ring / np.median(ring[body])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=40, help="virtual patients per site")
    parser.add_argument("--seed", type=int, default=7001)
    asked = parser.parse_args()
    volumes, shapes, narrowing, slopes, patterns, inner = [], [], [], [], [], []
    for site in SITES.values():
        for index in range(asked.patients):
            patient = draw_patient(asked.seed, site=site, population="all", index=index)
            surfaces = patient.beating("stress", site.positions[0], 8).surfaces
            inside = enclosed_mL(surfaces.mid_mm)
            full, empty = int(inside.argmax()), int(inside.argmin())
            volumes.append((inside[full], inside.mean(), float(np.mean(surfaces.wall_mL))))
            shapes += [width_and_length_mm(surfaces, gate) for gate in (full, empty)]
            narrowing.append(np.log(np.divide(shapes[-1], shapes[-2])))
            slopes += [valve_slope(surfaces, gate) for gate in (full, empty)]
            muscle = patient.heart.inner
            inner.append((muscle.papillary_mL / volumes[-1][-1], muscle.trabeculae_mL.sum() / volumes[-1][-1]))
            patterns.append(apical_pattern(surfaces, full))
        print(f"{site.name}: {asked.patients} hearts", flush=True)
    at_full, on_average, wall = np.array(volumes).T
    gated, ungated = (log_line(mid / REFERENCE_MID_ML, wall / mid) for mid in (at_full, on_average))
    length = log_line(*np.array(shapes).T)
    narrower, shorter = np.array(narrowing).T
    beat = float(narrower @ shorter / (narrower @ narrower))
    thinning, reach = apical_thinning(np.median(patterns, axis=0))
    text = _TEXT.format(
        n=len(volumes),
        seed=asked.seed,
        reference=REFERENCE_MID_ML,
        gated=(math.exp(gated[0]), gated[1]),
        ungated=(math.exp(ungated[0]), ungated[1]),
        gated_sd=gated[2],
        ungated_sd=ungated[2],
        length=length,
        beat=beat,
        beat_sd=(shorter - beat * narrower).std(),
        slope=np.mean(slopes, axis=0),
        slope_sd=np.std(slopes, axis=0),
        thinning=thinning,
        reach=reach,
        papillary=np.mean(inner, axis=0)[0],
        trabeculae=np.mean(inner, axis=0)[1],
    )
    CONSTANTS.write_text(text, encoding="utf-8")
    print(text)


def apical_thinning(pattern: Array) -> tuple[float, float]:
    """Depth and reach of a Gaussian dip at the apex that fits the median thickness of the rings."""
    from scipy.optimize import curve_fit

    arc = np.linspace(0, 1, len(pattern))
    upper = arc < 0.6
    (depth, reach), _ = curve_fit(
        lambda at, dip, width: 1 - dip * np.exp(-((at / width) ** 2)), arc[upper], pattern[upper], (0.3, 0.15)
    )
    return float(depth), float(abs(reach))


if __name__ == "__main__":
    main()
