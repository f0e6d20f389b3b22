"""Solve the constants of 95 % intervals on virtual patients and write them into the package.

    python docs/make/calibrate_intervals.py [--keep FOLDER]

Rewrites `src/myoscope/quantify/interval_constants.py`. Volumes and ejection fractions are held to the truth: mean and
spread of their error are fitted to how soft and noisy the image is and how small the heart, for each kind of camera.
Perfusion deficits, scores and phases are held to what the same patient's image gives without noise: how far drawn
figures are to be taken back and how many of their standard deviations hold 95 %, or, for phases, which noise makes most
of, between which lines 95 % lie. `validate_intervals.py` tests them on the same patients in halves, each with constants
of the other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from operator import itemgetter
from pathlib import Path

import numpy as np
from measured_patients import Array, Row, flat, measured_patients
from numpy.typing import NDArray

from myoscope.quantify.drawn_interval import interval_without_noise
from myoscope.quantify.error_model import DrawCalibration, ErrorModel, NoiseAddition
from myoscope.quantify.volume_intervals import ANY_CAMERA
from myoscope.simulate.sites import SITES

CONSTANTS = Path(__file__).parents[2] / "src/myoscope/quantify/interval_constants.py"
SEED = 7101
POPULATIONS = ("all", "referred")
FAR_MM = 20.0  # a heart found elsewhere is a failed contour and not a measurement
_SIZES = (0.4, 0.65, 0.85)  # quantiles of a figure between which scans are alike in size
N_FOLDS = 5
LEAST_PATIENTS = 50  # of one kind of camera, for constants of its own


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure whose interval rests on draws: what it is called, where its draws stand, and its highest value.

    ``least`` is the least spread that is believed; ``mostly_noise`` figures have lines in place of spreads.
    """

    label: str
    draws: str
    place: int
    key: str
    highest: float
    least: float = 0.0
    mostly_noise: bool = False


DRAWN = {
    "TPD_DRAWS": Drawn("TPD", "tpd_draws", 0, "tpd_percent", 100.0, 0.3),
    "SCORE_DRAWS": Drawn("SSS", "tpd_draws", 1, "summed_score", 68.0, 0.5),
    "PHASE_SD_NOISE": Drawn("phase SD", "phase_draws", 0, "phase_sd_deg", 180.0, mostly_noise=True),
    "PHASE_BANDWIDTH_NOISE": Drawn(
        "phase bandwidth", "phase_draws", 1, "phase_bandwidth_deg", 360.0, mostly_noise=True
    ),
    "PHASE_ENTROPY_NOISE": Drawn("phase entropy", "phase_draws", 2, "phase_entropy", 1.0, mostly_noise=True),
}

_TEXT = '''"""Constants of intervals, solved on virtual patients.

{n:,} patients, half of them sent to angiography (seed {seed}).

Written by `python docs/make/calibrate_intervals.py`; do not edit by hand.
"""

from __future__ import annotations

from myoscope.quantify.error_model import DrawCalibration, ErrorModel, NoiseAddition

{lines}
'''


def error_model(error: Array, fwhm_mm: Array, volume_mL: Array, noise: Array) -> ErrorModel:
    """Most likely mean and spread of an error, with a pull towards no dependence where the patients do not tell."""
    from scipy.optimize import minimize

    known = ((float(fwhm_mm.min()), float(fwhm_mm.max())), (float(volume_mL.min()), float(volume_mL.max())))

    def model(x: Array, factor: float = 1.96) -> ErrorModel:
        base, by_noise = (float(np.exp(x[k])) for k in (1, 4))
        return ErrorModel(
            float(x[0]), base, float(x[2]), float(x[3]), by_noise, factor, float(x[5]), float(x[6]), *known
        )

    scale = float(np.std(error))

    def off(made: ErrorModel, some: NDArray[np.bool_]) -> Array:
        excess = error[some] - made.mean(fwhm_mm=fwhm_mm[some], volume_mL=volume_mL[some])
        return excess / made.spread(fwhm_mm=fwhm_mm[some], volume_mL=volume_mL[some], noise=noise[some])

    def solved(some: NDArray[np.bool_]) -> Array:
        def cost(x: Array) -> float:
            made = model(x)
            sd = made.spread(fwhm_mm=fwhm_mm[some], volume_mL=volume_mL[some], noise=noise[some])
            # Student's t of 6 degrees of freedom: a few failed contours must not widen all.
            likelihood = np.log(sd) + 3.5 * np.log1p(off(made, some) ** 2 / 6)
            pull = (x[2] / 0.5) ** 2 + ((x[3] + 0.2) / 0.3) ** 2 + ((x[4] + 2.3) / 0.7) ** 2
            pull += (x[5] / scale) ** 2 + (x[6] / scale) ** 2
            return float(likelihood.sum() + 0.5 * pull)

        start = np.array([np.median(error[some]), np.log(scale), 0.0, -0.2, -2.3, 0.0, 0.0])
        settings = {"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-4, "fatol": 1e-4, "adaptive": True}
        best: Array = minimize(cost, start, method="Nelder-Mead", options=settings).x
        return best

    # The width is that with which patients are held on whom nothing was solved.
    fold = np.arange(len(error)) % N_FOLDS
    held = np.concatenate([np.abs(off(model(solved(fold != k)), fold == k)) for k in range(N_FOLDS)])
    return model(solved(fold >= 0), float(np.quantile(held, 0.95)))


@dataclass(frozen=True, slots=True)
class OfTruth:
    """A figure that is held to the truth: what it is in a scan and in truth, the size and softness that tell its error.

    Errors are logarithms of measured over true, or points of a ``difference``.
    """

    measured: Callable[[Row], float]
    true: Callable[[Row], float]
    size: str = "edv_mL"
    softness: str = "fwhm_mm"
    difference: bool = False

    def error(self, row: Row, scan: Row) -> float:
        measured, true = self.measured(scan), self.true(row["truth"])
        return measured - true if self.difference else float(np.log(max(measured, 1.0) / true))


def _stroke_mL(volumes: Row) -> float:
    return float(volumes["edv_mL"] - volumes["esv_mL"])


HELD_TO_TRUTH = {
    "EDV_ERROR": OfTruth(itemgetter("edv_mL"), itemgetter("edv_mL")),
    "ESV_ERROR": OfTruth(itemgetter("esv_mL"), itemgetter("esv_mL"), size="esv_mL"),
    "STROKE_ERROR": OfTruth(_stroke_mL, _stroke_mL),
    "EF_ERROR": OfTruth(itemgetter("ef_percent"), itemgetter("ef_percent"), difference=True),
    "STILL_ERROR": OfTruth(itemgetter("still_mL"), itemgetter("mean_mL"), size="still_mL", softness="still_fwhm_mm"),
}
STILL_NOISE = "STILL_NOISE"
VolumeConstants = dict[str, dict[str, ErrorModel]]


def volume_constants(pairs: Sequence[tuple[Row, Row]]) -> VolumeConstants:
    """The constants of volumes and ejection fraction by their names in the package."""
    gated = [(row, scan) for row, scan in pairs if scan.get("edv_mL") is not None]
    solved = {name: by_camera(gated, what) for name, what in HELD_TO_TRUTH.items()}
    quiet = with_quiet_cavity(pairs)
    return solved | {STILL_NOISE: _for_ratios(by_camera(quiet, OF_NOISE), quiet)}


def _for_ratios(models: dict[str, ErrorModel], pairs: Sequence[tuple[Row, Row]]) -> dict[str, ErrorModel]:
    """The models with the width that holds 95 % of the ratios of two: a rare large error makes either of them wrong."""
    rng = np.random.default_rng(SEED)
    error = np.array([OF_NOISE.error(row, scan) for row, scan in pairs])
    scans = [scan for _, scan in pairs]
    about = {"fwhm_mm": column(scans, OF_NOISE.softness), "volume_mL": column(scans, OF_NOISE.size)}
    camera = np.array([SITES[row["site"]].camera for row, _ in pairs])
    widened = {}
    for kind, model in models.items():
        own = np.flatnonzero((camera == kind) | (kind == ANY_CAMERA))
        one, other = (rng.permutation(np.tile(own, 20)) for _ in range(2))
        off, sd = error - model.mean(**about), model.spread(**about)
        wrong = np.abs(off[one] - off[other]) / np.hypot(sd[one], sd[other])
        widened[kind] = replace(model, factor=float(np.quantile(wrong[one != other], 0.95)))
    return widened


OF_NOISE = OfTruth(itemgetter("still_mL"), itemgetter("still_mL"), size="still_mL", softness="still_fwhm_mm")
"""The ungated cavity against that of the same patient's image without noise: what a ratio of two of them hangs on."""


def with_quiet_cavity(pairs: Sequence[tuple[Row, Row]]) -> list[tuple[Row, Row]]:
    """Scans with the figures without noise in the place of the truth, where a heart was found there."""
    known = [(row, scan) for row, scan in pairs if row["quiet"].get("centre_error_mm", np.inf) < FAR_MM]
    return [({**row, "truth": row["quiet"]}, scan) for row, scan in known]


def by_camera(pairs: Sequence[tuple[Row, Row]], what: OfTruth) -> dict[str, ErrorModel]:
    """The error of a figure for each kind of camera with enough patients, and over all, which is for any other."""
    camera = np.array([SITES[row["site"]].camera for row, _ in pairs])
    error = np.array([what.error(row, scan) for row, scan in pairs])
    scans = [scan for _, scan in pairs]
    softness, size = column(scans, what.softness), np.maximum(column(scans, what.size), 1.0)
    noise = np.nan_to_num(column(scans, "gate_noise"), nan=0.1)
    if what.size == "still_mL":
        noise = np.full(len(pairs), 0.1)
    models = {}
    for kind in (ANY_CAMERA, *sorted(set(camera.tolist()))):
        own = (camera == kind) | (kind == ANY_CAMERA)
        if own.sum() >= LEAST_PATIENTS:
            models[kind] = error_model(error[own], softness[own], size[own], noise[own])
    return models


def draw_calibration(figures: Array, least: float) -> DrawCalibration:
    """How drawn figures become an interval that holds what the image gives without noise in 95 %.

    ``figures`` (scan, 4): measured, mean and spread of what was drawn, and without noise. Of the shares of the measured
    figure that may be added to the spread, the one with which small and large figures are held alike is taken.
    """
    measured, mean, spread, quiet = figures.T
    excess, sd = np.maximum(mean - measured, 0), np.maximum(spread, least)
    size = np.searchsorted(np.quantile(measured, _SIZES), measured)

    def solved(relative: float) -> tuple[float, DrawCalibration]:
        wide = np.hypot(sd, relative * measured)
        tells = excess > 0.1 * wide
        unbias = 1.0
        if tells.any():
            weight = excess[tells] / wide[tells] ** 2
            unbias = float((weight * (measured - quiet)[tells]).sum() / (weight * excess[tells]).sum())
            unbias = float(np.clip(unbias, -1.0, 2.0))
        centre = measured - unbias * excess
        off = (quiet - centre) / wide
        below, above = (float(max(np.quantile(x, 0.975), 0.5)) for x in (-off, off))
        inside = (quiet >= np.clip(centre - below * wide, 0, measured)) & (
            quiet <= np.maximum(centre + above * wide, measured)
        )
        uneven = sum((inside[size == k].mean() - inside.mean()) ** 2 for k in np.unique(size))
        return float(uneven), DrawCalibration(unbias, below, above, least, relative)

    return min((solved(float(relative)) for relative in np.linspace(0, 0.4, 21)), key=lambda one: one[0])[1]


def noise_addition(figures: Array) -> NoiseAddition:
    """Lines of the measured figure between which 95 % of the figures without noise lie.

    ``figures`` as for `draw_calibration`. An interval also holds the measured figure, so the lines may be steeper
    quantiles than 2.5 and 97.5 %: those with which it holds 95 %.
    """
    measured, _, spread, quiet = figures.T
    usual = float(np.quantile(spread, 0.10))

    def lines(tail: float) -> NoiseAddition:
        return NoiseAddition(quantile_line(measured, quiet, tail), quantile_line(measured, quiet, 1 - tail), usual)

    def held(calibration: NoiseAddition) -> float:
        inside = [
            low <= without <= high
            for value, sd, without in zip(measured, spread, quiet, strict=True)
            for low, high in [
                interval_without_noise(value, np.array([value - sd, value + sd]), calibration, highest=np.inf)
            ]
        ]
        return float(np.mean(inside))

    candidates = [lines(tail) for tail in np.linspace(0.02, 0.05, 13)]
    return min(candidates, key=lambda one: (abs(held(one) - 0.95), -one.low[0]))


def quantile_line(x: Array, y: Array, share: float) -> tuple[float, float]:
    """Intercept and slope below which this share of y lies (quantile regression of Koenker & Bassett 1978)."""
    from scipy.optimize import linprog

    n = len(x)
    cost = np.concatenate([np.zeros(4), np.full(n, share), np.full(n, 1 - share)])
    design = np.column_stack([np.ones(n), -np.ones(n), x, -x])
    equal = np.hstack([design, np.eye(n), -np.eye(n)])
    best = linprog(cost, A_eq=equal, b_eq=y, bounds=(0, None), method="highs").x
    return float(best[0] - best[1]), float(best[2] - best[3])


def column(rows: Sequence[Row], name: str) -> Array:
    return np.array([np.nan if row.get(name) is None else row[name] for row in rows], np.float64)


Constants = dict[str, DrawCalibration | NoiseAddition]


def draw_constants(pairs: Sequence[tuple[Row, Row]]) -> Constants:
    """The constants of perfusion and phase by their names in the package, of scans with their patients' rows."""
    solved: Constants = {}
    for name, what in DRAWN.items():
        known = np.array([one for one in (drawn_figures(row, scan, what) for row, scan in pairs) if one is not None])
        if not len(known):
            raise SystemExit(f"no patient tells {name}: are there normal limits for these sites?")
        solved[name] = noise_addition(known) if what.mostly_noise else draw_calibration(known, what.least)
    return solved


def drawn_figures(row: Row, scan: Row, what: Drawn) -> tuple[float, float, float, float] | None:
    """Measured, mean and spread of the draws, and without noise; None where one of them is missing."""
    quiet = row["quiet"]
    if "failed" in quiet or quiet["centre_error_mm"] >= FAR_MM or what.draws not in scan or what.key not in quiet:
        return None
    figures = (scan[what.key], *scan[what.draws][what.place], quiet[what.key])
    return None if None in figures or not np.isfinite(figures).all() else figures


def _number(value: float | tuple[float, float]) -> str:
    return f"({value[0]:.4g}, {value[1]:.4g})" if isinstance(value, tuple) else f"{value:.4g}"


def call(value: ErrorModel | DrawCalibration | NoiseAddition, *, indent: int | None = None) -> str:
    """As code, on one line or indented."""
    parts = [f"{field.name}={_number(getattr(value, field.name))}" for field in fields(value)]
    if indent is None:
        return f"{type(value).__name__}({', '.join(parts)})"
    own = "".join(f"\n{' ' * (indent + 4)}{part}," for part in parts)
    return f"{type(value).__name__}({own}\n{' ' * indent})"


def constants_of(rows: Sequence[Row]) -> str:
    """The module of constants solved on these patients."""
    pairs = [(row, scan) for row, scan in flat(rows) if scan["centre_error_mm"] < FAR_MM]
    lines = []
    for name, of_kind in volume_constants(pairs).items():
        lines += [f"{name} = {{", *(f'    "{kind}": {call(model, indent=4)},' for kind, model in of_kind.items()), "}"]
    lines += [f"{name} = {call(value)}" for name, value in draw_constants(pairs).items()]
    return _TEXT.format(n=len(pairs), seed=SEED, lines="\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, default=Path("calibrate_intervals.kept"))
    parser.add_argument("--patients", type=int, default=100, help="virtual patients of each population per site")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    rows = [
        row
        for site in SITES
        for population in POPULATIONS
        for row in measured_patients(
            SEED, site, range(asked.patients), population=population, keep=asked.keep, workers=asked.workers
        )
    ]
    text = constants_of(rows)
    CONSTANTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
