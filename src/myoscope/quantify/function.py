"""The volume curve of the left ventricle over one beat, and what is read off it.

EDV is the largest and ESV the smallest endocardial volume (Germano et al., J Nucl Med 1995;36:2138). A gate shows the
volume averaged over its time, which cuts the top and the bottom off the curve: 8 gates lose five points of ejection
fraction. The curve is therefore a Fourier series whose n-th harmonic is divided by what averaging over a gate leaves of
it, sin(pi n / N) / (pi n / N), and its extremes are looked for between the gates; rates are slopes of the same curve.
Three harmonics for 8 gates, four for 16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue, Surfaces, VolumeCurve
from myoscope.core.geometry import FloatArray

_POINTS = 720
_THIRD = 1 / 3


@dataclass(frozen=True, slots=True)
class VentricularFunction:
    """Global function of the left ventricle over one cardiac cycle.

    ``ed_gate`` and ``es_gate`` are the gates nearest to the extremes. Rates are in EDV per second, positive; times in
    ms from end systole; all None where the R-R interval is unknown. ``mean_filling_third_edv_s`` is the mean filling
    rate over the first third of diastole.
    """

    edv_mL: float
    esv_mL: float
    ef_percent: float
    ed_gate: int
    es_gate: int
    end_systole: float
    peak_ejection_edv_s: float | None = None
    peak_filling_edv_s: float | None = None
    time_to_peak_filling_ms: float | None = None
    mean_filling_third_edv_s: float | None = None

    @property
    def stroke_mL(self) -> float:
        """What one beat ejects."""
        return self.edv_mL - self.esv_mL


def volume_curve(gate_mL: ArrayLike, *, rr_ms: float | None = None, harmonics: int | None = None) -> VolumeCurve:
    """The continuous curve through the volumes of the gates, freed of the averaging over each gate's time.

    ``harmonics``: 3 for up to 11 gates and 4 above unless given.

    Raises
    ------
    InvalidValue
        Fewer than 4 gates, or volumes that are not positive numbers.
    """
    gates = np.asarray(gate_mL, np.float64)
    if gates.ndim != 1 or gates.size < 4:
        raise InvalidValue(f"a volume curve needs 4 gates or more, got {gates.size}")
    if not (np.isfinite(gates).all() and gates.min() > 0):
        raise InvalidValue("volumes of gates are positive numbers")
    time = (np.arange(_POINTS) + 0.5) / _POINTS
    return VolumeCurve(gates, time, curves_through(gates[None], time, harmonics=harmonics)[0], rr_ms)


def curves_through(gate_mL: FloatArray, time: FloatArray, *, harmonics: int | None = None) -> FloatArray:
    """Values at ``time`` (0 to 1) of the continuous curves of many beats (beat, gate); see `volume_curve`."""
    n = gate_mL.shape[1]
    highest = min((3 if n < 12 else 4) if harmonics is None else harmonics, (n - 1) // 2)
    order = np.arange(1, highest + 1)
    spectrum = np.fft.rfft(gate_mL, axis=1) / n
    left = np.sinc(order / n)
    middle = np.exp(-1j * np.pi * order / n)  # gate k stands for the time (k + 1/2) / n
    coefficient = 2 * spectrum[:, 1 : highest + 1] * middle / left
    wave = np.exp(2j * np.pi * np.outer(order, time))
    curves: FloatArray = spectrum[:, :1].real + (coefficient @ wave).real
    return curves


def function_of_curve(curve: VolumeCurve) -> VentricularFunction:
    """EDV, ESV, EF, rates and times of a volume curve."""
    volume, n = curve.volume_mL, curve.gate_mL.size
    ed, es = int(np.argmax(volume)), int(np.argmin(volume))
    edv, esv = float(volume[ed]), max(float(volume[es]), 0.0)
    rates: dict[str, float] = {}
    if curve.rr_ms is not None:
        per_s = 1000 * _POINTS / curve.rr_ms
        slope = 0.5 * (np.roll(volume, -1) - np.roll(volume, 1)) * per_s / edv
        after = (np.arange(_POINTS) - es) % _POINTS
        diastole = (ed - es) % _POINTS
        filling = np.where(after <= diastole, slope, -np.inf)
        fastest = int(np.argmax(filling))
        third = round(_THIRD * diastole)
        third_s = third / _POINTS * curve.rr_ms / 1000
        rates = {
            "peak_ejection_edv_s": float(-slope[after >= diastole].min()),
            "peak_filling_edv_s": float(filling[fastest]),
            "time_to_peak_filling_ms": float(after[fastest] / _POINTS * curve.rr_ms),
            "mean_filling_third_edv_s": float((volume[(es + third) % _POINTS] - esv) / edv / third_s),
        }
    return VentricularFunction(
        edv_mL=edv,
        esv_mL=esv,
        ef_percent=100 * (edv - esv) / edv,
        ed_gate=int(curve.time[ed] * n),
        es_gate=int(curve.time[es] * n),
        end_systole=float(curve.time[es]),
        **rates,
    )


def ventricular_function(surfaces: Surfaces, *, rr_ms: float | None = None) -> VentricularFunction:
    """Function of gated surfaces.

    Raises
    ------
    InvalidValue
        If the surfaces are not gated.
    """
    if surfaces.n_gates < 2:
        raise InvalidValue("an ejection fraction needs gated surfaces; this series has one gate")
    return function_of_curve(volume_curve(surfaces.cavity_mL, rr_ms=rr_ms))


def long_axis_length_mm(surfaces: Surfaces) -> float:
    """Distance along the long axis from the epicardial apex to the valve plane."""
    apex = surfaces.epi_mm[..., 0, 0, :].reshape(-1, 3)[0]
    return float(abs((surfaces.valve_point_mm - apex) @ surfaces.frame.long_axis))
