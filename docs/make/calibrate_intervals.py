"""Solve the constants of 95 % intervals on virtual patients and write them into the package.

    python docs/make/calibrate_intervals.py --registry DIR [--keep FOLDER]

Rewrites `src/myoscope/quantify/interval_constants.py`. Volumes and ejection fractions are held to the truth: mean and
spread of their error are fitted to how soft and noisy the image is and how small the heart, on one half of the tier
``full`` of the reference registry (the ungated cavity: on patients made for it). Perfusion deficits, scores and phases
are held to what the same patient's image gives without noise: how far drawn figures are to be taken back, and
how many of their standard deviations hold 95 %. The patients are not those of any validation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from function_rows import FunctionRows, function_rows
from measured_patients import Array, Row, flat, measured_patients

from myoscope import io
from myoscope.quantify.error_model import DrawCalibration, ErrorModel
from myoscope.quantify.volume_intervals import ANY_CAMERA
from myoscope.simulate.sites import SITES

CONSTANTS = Path(__file__).parents[2] / "src/myoscope/quantify/interval_constants.py"
SEED = 7101
POPULATIONS = ("all", "referred")
_FAR_MM = 20.0  # a heart found elsewhere is a failed contour and not a measurement
LEAST_PATIENTS = 50  # of one kind of camera, for constants of its own
_LEAST = {"TPD": 0.3, "SCORE": 0.5, "PHASE": 0.3, "ENTROPY": 0.01}

_TEXT = '''"""Constants of intervals, solved on virtual patients.

EDV, ESV and EF: {studies} studies of {patients} patients, half of the reference registry as far as it was made.
The rest: {n} patients, half of them sent to angiography (seed {seed}).

Written by `python docs/make/calibrate_intervals.py`; do not edit by hand.
"""

from __future__ import annotations

from myoscope.quantify.error_model import DrawCalibration, ErrorModel

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

    def off(x: Array) -> Array:
        made = model(x)
        excess = error - made.mean(fwhm_mm=fwhm_mm, volume_mL=volume_mL)
        return excess / made.spread(fwhm_mm=fwhm_mm, volume_mL=volume_mL, noise=noise)

    def cost(x: Array) -> float:
        sd = model(x).spread(fwhm_mm=fwhm_mm, volume_mL=volume_mL, noise=noise)
        # Student's t of 6 degrees of freedom: a few failed contours must not widen all.
        likelihood = np.log(sd) + 3.5 * np.log1p(off(x) ** 2 / 6)
        pull = (x[2] / 0.5) ** 2 + ((x[3] + 0.2) / 0.3) ** 2 + ((x[4] + 2.3) / 0.7) ** 2
        pull += (x[5] / scale) ** 2 + (x[6] / scale) ** 2
        return float(likelihood.sum() + 0.5 * pull)

    start = np.array([np.median(error), np.log(scale), 0.0, -0.2, -2.3, 0.0, 0.0])
    settings = {"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-5, "fatol": 1e-5, "adaptive": True}
    best = minimize(cost, start, method="Nelder-Mead", options=settings).x
    return model(best, float(np.quantile(np.abs(off(best)), 0.95)))


def by_camera(rows: FunctionRows, what: str, volume: str) -> dict[str, ErrorModel]:
    """The error of ``what`` for each kind of camera with enough patients, and over all, which is for any other."""
    camera = np.array([SITES[site].camera for site in rows.site])
    noise = np.nan_to_num(rows.figures["gate_noise"], nan=0.1)
    models = {}
    for kind in (ANY_CAMERA, *sorted(set(camera.tolist()))):
        own = (camera == kind) | (kind == ANY_CAMERA)
        if np.unique(rows.patient[own]).size < LEAST_PATIENTS:
            print(f"{what}: too few patients of {kind} for constants of their own")
            continue
        figures = (rows.figures["fwhm_mm"][own], rows.figures[volume][own], noise[own])
        models[kind] = error_model(rows.error[what][own], *figures)
    return models


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


def _number(value: float | tuple[float, float]) -> str:
    return f"({value[0]:.4g}, {value[1]:.4g})" if isinstance(value, tuple) else f"{value:.4g}"


def call(value: ErrorModel | DrawCalibration, *, indent: int | None = None) -> str:
    """As code, on one line or indented."""
    parts = [f"{field.name}={_number(getattr(value, field.name))}" for field in fields(value)]
    if indent is None:
        return f"{type(value).__name__}({', '.join(parts)})"
    own = "".join(f"\n{' ' * (indent + 4)}{part}," for part in parts)
    return f"{type(value).__name__}({own}\n{' ' * indent})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", type=Path, required=True, help="folder that holds the tier full")
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
    registry = function_rows(io.read_cohort(asked.registry / "full"), "solved")
    models = {
        "EDV_ERROR": by_camera(registry, "edv_mL", "edv_mL"),
        "ESV_ERROR": by_camera(registry, "esv_mL", "esv_mL"),
        "STROKE_ERROR": by_camera(registry, "stroke_mL", "edv_mL"),
        "EF_ERROR": by_camera(registry, "ef_percent", "edv_mL"),
    }
    error = np.log(column(scans, "still_mL") / column(truth, "mean_mL"))
    still = error_model(error, column(scans, "still_fwhm_mm"), column(scans, "still_mL"), np.full(len(scans), 0.1))
    models["STILL_ERROR"] = {ANY_CAMERA: still}
    lines = []
    for name, of_kind in models.items():
        lines += [f"{name} = {{", *(f'    "{kind}": {call(model, indent=4)},' for kind, model in of_kind.items()), "}"]
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
        lines.append(f"{name}_DRAWS = {call(draw_calibration(np.array(stacked, np.float64), _LEAST[name]))}")
    text = _TEXT.format(
        n=len(pairs),
        seed=SEED,
        studies=len(registry),
        patients=len(np.unique(registry.patient)),
        lines="\n".join(lines),
    )
    CONSTANTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
