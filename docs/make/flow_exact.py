"""Exact cases of blood flow: published numbers, golden curves, and curves that a model made itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import myoscope.quantify.flow as models
from myoscope import flow_study
from myoscope.physics.convolution import exponential_frame_means
from myoscope.physics.frames import Frames
from myoscope.physics.time_curve import TimeCurve
from myoscope.physics.tracers import ammonia_rates, extraction
from myoscope.quantify.flow import Blood, WallCurves

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Exact:
    name: str
    tolerance: float
    worst: float

    @property
    def line(self) -> str:
        verdict = reached_or_not(self.worst <= self.tolerance)
        return f"| {self.name} | {self.tolerance:.0e} | {self.worst:.1e} | {verdict} |"


FRAMES = Frames.lasting([*[10] * 12, *[20] * 3, *[30] * 2, *[60] * 2])
GOLDEN = (
    (0.7, 0.30, 0.12, (33.427, 26.142, 29.856, 32.593, 35.559)),
    (2.8, 0.30, 0.25, (45.475, 44.852, 51.395, 53.611, 52.205)),
)


def exact_cases() -> list[Exact]:
    flow = np.array([0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0])
    uptake = np.array([0.3908, 0.4809, 0.5899, 0.7411, 0.8761, 1.0038, 1.1276, 1.3688, 1.6058])
    curve = extraction("rubidium")
    cases = [
        Exact("AT-10, Lortie's K1 of nine flows", 1e-4, _worst(curve.uptake_rate_mL_min_g(flow), uptake)),
        Exact(
            "AT-10, its inverse of five rates",
            2e-4,
            _worst(curve.flow_mL_min_g([0.30, 0.50, 0.80, 1.00, 1.25]), [0.3416, 0.7482, 1.7134, 2.4848, 3.5044]),
        ),
    ]
    since = np.arange(0, 6.2, 0.002)
    value = (2000 * since - 38) * np.exp(-8 * since) + 20 * np.exp(-0.7 * since) + 18 * np.exp(-0.05 * since)
    bolus = TimeCurve(0.25 + since, value)
    blood = Blood.from_curve(FRAMES, bolus)
    worst, recovered = 0.0, 0.0
    for f, v_lv, k2, means in GOLDEN:
        k1 = float(curve.uptake_rate_mL_min_g(f))
        made = (1 - v_lv) * k1 * exponential_frame_means(bolus, FRAMES, k2) + v_lv * blood.means
        worst = max(worst, _worst(np.ravel(made)[[3, 6, 12, 15, 18]], means))
        found = models.lortie(density_g_mL=1).estimate(WallCurves(FRAMES, np.atleast_2d(made), blood))
        recovered = max(recovered, _worst(found.value[0], [f, k2, v_lv]))
    cases += [Exact("AT-11, golden curves", 2e-3, worst), Exact("AT-11, fit of golden curves", 1e-6, recovered)]
    out, trapped = ammonia_rates([1.0, 3.0])
    off = max(_worst(out, [1.25, 3.75]), _worst(trapped, [5.949, 5.636]))
    cases.append(Exact("AT-12, ammonia's k2 and k3", 1e-3, off))
    grid = np.geomspace(0.1, 6.0, 100)
    model = models.iida()
    blank = WallCurves(FRAMES, np.ones((5, len(FRAMES))), blood)
    true = grid[[10, 35, 50, 70, 90]]
    tissue, _ = model.tissue(np.stack([true, np.full(5, 0.7)], axis=1), blank)
    curves = WallCurves(FRAMES, tissue + 0.25 * blood.means, blood)
    cases += [
        Exact("AT-13, water by basis functions, on the grid", 1e-6, _worst(models.basis_functions(curves).flow, true)),
        Exact("AT-13, water by least squares", 1e-6, _worst(model.estimate(curves).flow, true)),
    ]
    return cases


def recovery() -> list[tuple[str, float, int]]:
    """Largest relative error of flow from noise-free curves that each model made itself, over 0.5 to 3.5 mL/min/g."""
    since = np.arange(0, 12, 0.02)
    value = (2000 * since - 38) * np.exp(-8 * since) + 20 * np.exp(-0.7 * since) + 18 * np.exp(-0.05 * since)
    frames = Frames.lasting([*[10] * 12, *[20] * 3, *[30] * 2, *[60] * 2, *[120] * 2])
    left = Blood.from_curve(frames, TimeCurve(0.25 + since, value))
    right = Blood.from_curve(frames, TimeCurve(0.13 + since, 1.3 * value))
    ranges = {"flow": (0.5, 3.5), "k2": (0.05, 0.6), "k3": (0.3, 2.0), "k4": (0.02, 0.2), "ptf": (0.4, 0.9),
              "v_tissue": (1.0, 12.0)}  # fmt: skip
    out = []
    n, rng = 200, np.random.default_rng(4)
    for protocol in flow_study.PROTOCOLS.values():
        for name, make in protocol.models.items():
            model = make()
            if not isinstance(model, models.CompartmentModel):
                continue
            blank = model.prepared(WallCurves(frames, np.ones((n, len(frames))), left, right))
            assert blank.right is not None
            kinetic = np.stack([rng.uniform(*ranges[p.name], n) for p in model.kinetic], axis=1)
            spill = np.stack([rng.uniform(0.1, 0.4, n), rng.uniform(0.02, 0.2, n)], axis=1)
            share = 1 - spill.sum(axis=1) if model.sharing == "geometric" else np.ones(n)
            made = share[:, None] * model.tissue(kinetic, blank)[0]
            made = made + spill @ np.stack([blank.left.means, blank.right.means])
            filled = np.ones((n, len(frames)))
            filled[:, : made.shape[1]] = made
            found = model.estimate(WallCurves(frames, filled, left, right))
            error = np.abs(found.flow / model.flow(kinetic)[0] - 1)
            out.append((name, float(np.nanmax(error)), int(found.failed.sum())))
    return out


def _worst(found: Any, known: Any) -> float:
    return float(np.abs(np.asarray(found) / np.asarray(known) - 1).max())


def reached_or_not(reached: bool) -> str:
    """What a table says of a target."""
    return "reached" if reached else "**not reached**"
