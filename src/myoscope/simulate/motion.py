"""How a patient moves while the camera counts: breathing, upward creep, drift and sudden shifts.

Breathing: head-feet amplitude of the heart log-normal with median 8 mm, a third of patients above 10 mm, 1.1 to
37.4 mm at the extremes, men more than women (Pretorius 2017, 1,103 patients; the shape of the distribution is
ours); the wave is a power of a sine with longer rests at end expiration (Lujan 1999). After exercise the
diaphragm, and the heart on it, creep up by 0 to 13 mm in the first minutes as breathing calms down (a figure from
the literature of the field, spread chosen here). How often patients shift is a default of this simulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from myoscope.core import InvalidValue
from myoscope.core.geometry import FloatArray

_MEDIAN_MM, _LOG_SD = 8.0, 0.507
_SEX_LOG_SHIFT = {"M": 0.10, "F": -0.10}
_RANGE_MM = (1.1, 37.4)
_AP_SHARE = (0.2, 0.4)
_PERIOD_S = (3.0, 6.0)
_CREEP_MAX_MM, _CREEP_SHAPE = 13.0, (1.0, 2.5)
_SHIFT_PROBABILITY, _SHIFT_MEDIAN_MM = 0.10, 6.0
_DRIFT_SD_MM = 1.0  # over ten minutes


@dataclass(frozen=True, slots=True)
class Shift:
    """A sudden change of the patient's position (mm, LPS) at a time after the start."""

    time_s: float
    by_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Motion:
    """All motion during one acquisition.

    ``breathing_si_mm`` and ``breathing_ap_mm`` are the heart's excursions from end expiration to end inspiration
    (towards the feet and to anterior); ``breathing_power`` the power n of sin^2n. ``creep_mm`` is how far the heart
    still moves up (towards its final place) with time constant ``creep_time_s``. Drift and shifts take the whole
    patient along.
    """

    breathing_si_mm: float = 0.0
    breathing_ap_mm: float = 0.0
    breathing_period_s: float = 4.0
    breathing_power: int = 2
    creep_mm: float = 0.0
    creep_time_s: float = 240.0
    drift_mm_per_min: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shifts: tuple[Shift, ...] = ()

    def __post_init__(self) -> None:
        if min(self.breathing_si_mm, self.breathing_ap_mm, self.creep_mm) < 0:
            raise InvalidValue(f"breathing and creep have amplitudes of 0 mm or more, got {self}")
        if self.breathing_period_s <= 0 or self.creep_time_s <= 0 or self.breathing_power < 1:
            raise InvalidValue(f"breathing has a period and a power of 1 or more, creep a time constant, got {self}")
        object.__setattr__(self, "shifts", tuple(self.shifts))

    def breathing_mm(self, time_s: ArrayLike) -> FloatArray:
        """Breathing displacement about its own mean, LPS mm, shape (..., 3)."""
        wave = self._wave(np.asarray(time_s, dtype=np.float64) / self.breathing_period_s)
        return self._along_breath(wave)

    def breathing_spread(self, n: int = 16) -> FloatArray:
        """Equally likely breathing displacements about their mean, LPS mm, shape (n, 3)."""
        if n < 1:
            raise InvalidValue("a distribution of displacements needs at least one of them")
        # Half a breath holds every displacement once; equal steps of time are equally likely.
        return self._along_breath(self._wave((np.arange(n) + 0.5) / (2 * n)))

    def creep_displacement_mm(self, time_s: ArrayLike) -> FloatArray:
        """Where the heart is with respect to its final place, LPS mm, shape (..., 3); below it at first."""
        time = np.asarray(time_s, dtype=np.float64)
        return np.stack(
            [np.zeros_like(time), np.zeros_like(time), -self.creep_mm * np.exp(-time / self.creep_time_s)], -1
        )

    def patient_displacement_mm(self, time_s: ArrayLike) -> FloatArray:
        """Drift and sudden shifts of the whole patient, LPS mm, shape (..., 3); zero at the start."""
        time = np.asarray(time_s, dtype=np.float64)
        moved: FloatArray = time[..., None] / 60 * np.asarray(self.drift_mm_per_min)
        for shift in self.shifts:
            moved = moved + (time >= shift.time_s)[..., None] * np.asarray(shift.by_mm)
        return moved

    def displacement_mm(self, time_s: ArrayLike) -> FloatArray:
        """The heart's displacement without breathing: creep, drift and shifts, LPS mm, shape (..., 3)."""
        total: FloatArray = self.creep_displacement_mm(time_s) + self.patient_displacement_mm(time_s)
        return total

    def _wave(self, breaths: FloatArray) -> FloatArray:
        """Share of the excursion (0 = end expiration, 1 = end inspiration) about its mean."""
        power = 2 * self.breathing_power
        quarter = np.arange(64) + 0.5
        mean = float((np.sin(np.pi * quarter / 128) ** power).mean())
        wave: FloatArray = np.sin(np.pi * breaths) ** power - mean
        return wave

    def _along_breath(self, wave: FloatArray) -> FloatArray:
        along: FloatArray = wave[..., None] * np.array([0.0, -self.breathing_ap_mm, -self.breathing_si_mm])
        return along


AT_REST = Motion()


def draw_motion(
    *, sex: str, state: str, stress_type: str, rng: np.random.Generator, duration_s: float = 900.0
) -> Motion:
    """One patient's motion during one acquisition.

    Upward creep belongs to stress images after exercise; shifts come at a random time within ``duration_s``.
    """
    if sex not in _SEX_LOG_SHIFT:
        raise InvalidValue(f"sex is F or M, not {sex!r}")
    if state not in ("stress", "rest") or stress_type not in ("exercise", "pharmacological"):
        raise InvalidValue(
            f"motion is drawn for stress or rest, exercise or pharmacological, got {state}, {stress_type}"
        )
    # The two sexes mix to the published spread: variance within plus variance between.
    log_sd = np.sqrt(_LOG_SD**2 - _SEX_LOG_SHIFT["M"] ** 2)
    amplitude = float(np.clip(_MEDIAN_MM * np.exp(rng.normal(_SEX_LOG_SHIFT[sex], log_sd)), *_RANGE_MM))
    ap_share, period_s, power = rng.uniform(*_AP_SHARE), rng.uniform(*_PERIOD_S), int(rng.integers(1, 4))
    creep = _CREEP_MAX_MM * rng.beta(*_CREEP_SHAPE)
    creep_time_s = rng.uniform(150, 400)
    drift = rng.normal(0, _DRIFT_SD_MM / 10, 3)
    shifted, when_s = rng.random() < _SHIFT_PROBABILITY, rng.uniform(0.1, 0.9) * duration_s
    size_mm = _SHIFT_MEDIAN_MM * np.exp(rng.normal(0, 0.4))
    # Patients slide along the couch more than across it.
    direction = rng.normal(size=3) * (0.5, 0.5, 1.0)
    by = size_mm * direction / np.linalg.norm(direction)
    after_exercise = state == "stress" and stress_type == "exercise"
    return Motion(
        breathing_si_mm=amplitude,
        breathing_ap_mm=amplitude * float(ap_share),
        breathing_period_s=float(period_s),
        breathing_power=power,
        creep_mm=float(creep) if after_exercise else 0.0,
        creep_time_s=float(creep_time_s),
        drift_mm_per_min=(float(drift[0]), float(drift[1]), float(drift[2])),
        shifts=(Shift(float(when_s), (float(by[0]), float(by[1]), float(by[2]))),) if shifted else (),
    )
