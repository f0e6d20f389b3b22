"""Solve the constants of 95 % intervals on virtual patients and write them into the package.

    python docs/make/calibrate_intervals.py [--keep FOLDER]

Rewrites `src/myoscope/quantify/interval_constants.py`. Volumes and ejection fractions are held to the truth: the spread
of their error is fitted to how soft and noisy the image is and how small the heart. Perfusion deficits, scores and
phases are held to what the same patient's image gives without noise: how far drawn figures are to be taken back, and
how many of their standard deviations hold 95 %. The patients are not those of any validation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from measured_patients import Array, Row, flat, measured_patients

from myoscope.quantify.error_model import DrawCalibration, ErrorModel
from myoscope.simulate.sites import SITES

CONSTANTS = Path(__file__).parents[2] / "src/myoscope/quantify/interval_constants.py"
SEED = 7101
POPULATIONS = ("all", "referred")
_FAR_MM = 20.0  # a heart found elsewhere is a failed contour and not a measurement
_LEAST = {"TPD": 0.3, "SCORE": 0.5, "PHASE": 0.3, "ENTROPY": 0.01}

_TEXT = '''"""Constants of intervals, solved on {n} virtual patients, half of them sent to angiography (seed {seed}).

Written by `python docs/make/calibrate_intervals.py`; do not edit by hand.
"""

from __future__ import annotations

from myoscope.quantify.error_model import DrawCalibration, ErrorModel

{lines}
'''


def error_model(error: Array, fwhm_mm: Array, volume_mL: Array, noise: Array) -> ErrorModel:
    """Most likely spread of an error, with a pull towards no dependence where the patients do not tell."""
    from scipy.optimize import minimize

    bias = float(np.median(error))

    def model(x: Array, factor: float = 1.96) -> ErrorModel:
        return ErrorModel(bias, float(np.exp(x[0])), float(x[1]), float(x[2]), float(np.exp(x[3])), factor)

    def spread(x: Array) -> Array:
        made = model(x)
        return np.array(
            [
                made.spread(fwhm_mm=f, volume_mL=v, relative_noise=r)
                for f, v, r in zip(fwhm_mm, volume_mL, noise, strict=True)
            ]
        )

    def cost(x: Array) -> float:
        sd = spread(x)
        # Student's t of 6 degrees of freedom: a few failed contours must not widen all.
        likelihood = np.log(sd) + 3.5 * np.log1p(((error - bias) / sd) ** 2 / 6)
        pull = (x[1] / 0.5) ** 2 + ((x[2] + 0.2) / 0.3) ** 2 + ((x[3] + 2.3) / 0.7) ** 2
        return float(likelihood.sum() + 0.5 * pull)

    start = np.array([np.log(error.std()), 0.0, -0.2, -2.3])
    best = minimize(cost, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-4, "fatol": 1e-4}).x
    factor = float(np.quantile(np.abs(error - bias) / spread(best), 0.95))
    return model(best, factor)


def draw_calibration(figures: Array, least: float) -> DrawCalibration:
    """How drawn figures become an interval that holds what the image gives without noise in 95 %.

    ``figures`` (scan, 4): measured, mean and spread of what was drawn, and without noise.
    """
    measured, mean, spread, quiet = figures.T
    excess = np.maximum(mean - measured, 0)
    sd = np.maximum(spread, least)
    tells = excess > 0.1 * sd
    unbias = 1.0
    if tells.any():
        weight = 1 / sd[tells] ** 2
        unbias = float((weight * excess[tells] * (measured - quiet)[tells]).sum() / (weight * excess[tells] ** 2).sum())
        unbias = float(np.clip(unbias, 0.0, 2.0))
    off = (quiet - (measured - unbias * excess)) / sd
    return DrawCalibration(
        unbias,
        float(max(np.quantile(-off, 0.975), 0.5)),
        float(max(np.quantile(off, 0.975), 0.5)),
        least,
    )


def column(rows: Sequence[Row], name: str) -> Array:
    return np.array([np.nan if row.get(name) is None else row[name] for row in rows], np.float64)


def written(name: str, value: ErrorModel | DrawCalibration) -> str:
    parts = ", ".join(f"{field.name}={getattr(value, field.name):.4g}" for field in fields(value))
    return f"{name} = {type(value).__name__}({parts})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, default=Path("calibrate_intervals.kept"))
    parser.add_argument("--patients", type=int, default=24, help="virtual patients of each population per site")
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
    pairs = [(row, scan) for row, scan in flat(rows) if scan["centre_error_mm"] < _FAR_MM]
    truth, scans = [row["truth"] for row, _ in pairs], [scan for _, scan in pairs]
    softness, noise = column(scans, "fwhm_mm"), np.nan_to_num(column(scans, "gate_noise"), nan=0.1)
    models = {}
    for name, what in (("EDV_ERROR", "edv_mL"), ("ESV_ERROR", "esv_mL")):
        error = np.log(column(scans, what) / column(truth, what))
        models[name] = error_model(error, softness, column(scans, what), noise)
    error = np.log(column(scans, "still_mL") / column(truth, "mean_mL"))
    models["STILL_ERROR"] = error_model(
        error, column(scans, "still_fwhm_mm"), column(scans, "still_mL"), np.full(len(scans), 0.1)
    )
    error = column(scans, "ef_percent") - column(truth, "ef_percent")
    models["EF_ERROR"] = error_model(error, softness, column(scans, "edv_mL"), noise)

    lines = [written(name, model) for name, model in models.items()]
    both = [(scan, row["quiet"]) for row, scan in pairs if "failed" not in row["quiet"]]
    for name, draws, figures in (
        ("TPD", "tpd_draws", ((0, "tpd_percent"),)),
        ("SCORE", "tpd_draws", ((1, "summed_score"),)),
        ("PHASE", "phase_draws", ((0, "phase_sd_deg"), (1, "phase_bandwidth_deg"))),
        ("ENTROPY", "phase_draws", ((2, "phase_entropy"),)),
    ):
        known = [(scan, quiet) for scan, quiet in both if draws in scan and figures[0][1] in quiet]
        if not known:
            raise SystemExit(f"no patient tells {name}: are there normal limits for these sites?")
        stacked = [(scan[what], *scan[draws][place], quiet[what]) for scan, quiet in known for place, what in figures]
        lines.append(written(f"{name}_DRAWS", draw_calibration(np.array(stacked, np.float64), _LEAST[name])))
    text = _TEXT.format(n=len(pairs), seed=SEED, lines="\n".join(lines))
    CONSTANTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
