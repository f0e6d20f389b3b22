"""Expert readers of virtual studies: each with an own bias, an own steadiness and an own eye for artefacts.

Readers do not see the truth but an `Appearance`: the true deficit of each segment as an image shows it, with the
unevenness of noise and with the attenuation of breast and diaphragm. It is drawn once per study, so that all readers
look at the same image; what differs between them, and between two readings of one reader, is drawn per reading.
Sizes are assumptions; the agreement between readers is what follows from them and is measured, not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue
from myoscope.simulate.deficit import FULL_SCORE_LOSS, SHARE_OF_SEGMENT, Deficit
from myoscope.simulate.person import Person

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int8]

# What a breast shades (anterior and anterolateral), and what a diaphragm does (inferior), by segment index.
_BREAST = np.zeros(17)
_BREAST[[0, 6, 12]] = 1.0
_BREAST[[5, 11, 1, 7]] = 0.45
_DIAPHRAGM = np.zeros(17)
_DIAPHRAGM[[3, 9]] = 1.0
_DIAPHRAGM[[2, 8, 4, 10, 14]] = 0.5
_UNEVEN_SD = 0.040
_CHANGE_SD = 0.025
_COUNTED_ABOVE = 0.15
_SCORE_EDGES = np.array([0.18, 0.2625, 0.4375, 0.6125])
"""Missing share of uptake at which a score of 1, 2, 3 and 4 begins."""
IMPRESSIONS = ("normal", "probably normal", "equivocal", "probably abnormal", "abnormal")
_IMPRESSION_EDGES = np.log1p(np.array([2.0, 4.0, 6.5, 9.5]))


@dataclass(frozen=True, eq=False, slots=True)
class Appearance:
    """Missing share of uptake per segment (17,) as the images show it, and how much of it artefact made."""

    stress: FloatArray
    rest: FloatArray
    artefact: FloatArray

    @property
    def stress_percent(self) -> float:
        """Deficit of the image on the scale of TPD, percent: what a measurement of it might come to."""
        counted = np.where(self.stress > _COUNTED_ABOVE, np.minimum(self.stress / FULL_SCORE_LOSS, 1), 0)
        return 100 * float((SHARE_OF_SEGMENT * counted).sum())


@dataclass(frozen=True, slots=True)
class Reader:
    """How one expert reads.

    ``bias`` is added to the missing share of uptake that the image shows, ``gain`` multiplies it; ``noise_sd`` is
    the segment-by-segment scatter of one reading, ``mood_sd`` what moves a whole reading; ``artefact_eye`` (0-1) is
    the share of attenuation that the reader recognises and forgives.
    """

    bias: float
    gain: float
    noise_sd: float
    mood_sd: float
    artefact_eye: float


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        "A": Reader(bias=0.000, gain=1.00, noise_sd=0.040, mood_sd=0.016, artefact_eye=0.70),
        "B": Reader(bias=0.015, gain=1.05, noise_sd=0.045, mood_sd=0.020, artefact_eye=0.50),
        "C": Reader(bias=-0.018, gain=0.95, noise_sd=0.045, mood_sd=0.020, artefact_eye=0.75),
        "D": Reader(bias=0.005, gain=1.00, noise_sd=0.055, mood_sd=0.026, artefact_eye=0.40),
        "E": Reader(bias=-0.008, gain=1.10, noise_sd=0.048, mood_sd=0.022, artefact_eye=0.60),
    }
)
"""Five experts by name; sites employ two each."""


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """Scores 0 to 4 of the 17 segments in stress and at rest, and an overall impression.

    ``impression`` runs from 0 (normal) to 4 (abnormal), words in ``IMPRESSIONS``.
    """

    reader: str
    stress: IntArray
    rest: IntArray
    impression: int

    @property
    def sss(self) -> int:
        """Summed stress score, 0 to 68."""
        return int(self.stress.sum())

    @property
    def srs(self) -> int:
        """Summed rest score, 0 to 68."""
        return int(self.rest.sum())

    @property
    def sds(self) -> int:
        """Summed difference score; a segment that looks worse at rest counts 0."""
        return int(np.maximum(self.stress.astype(int) - self.rest, 0).sum())


def appearance(truth: Deficit, person: Person, rng: np.random.Generator, *, corrected: bool = False) -> Appearance:
    """What the images of this patient show; ``corrected`` for attenuation leaves a quarter of its artefacts."""
    uneven = _smooth(rng.normal(0, _UNEVEN_SD, 17))
    change = _smooth(rng.normal(0, _CHANGE_SD, 17))
    depth = rng.gamma(2.0, 0.5)
    heavy = float(np.clip((person.bmi_kg_m2 - 20) / 10, 0.2, 2.5))
    if person.sex == "F":
        artefact = 0.047 * depth * heavy * _BREAST + 0.016 * depth * _DIAPHRAGM
    else:
        artefact = 0.056 * depth * np.sqrt(heavy) * _DIAPHRAGM + 0.006 * heavy * _BREAST
    if corrected:
        artefact = artefact / 4
    stress = 1 - (1 - truth.segment_stress) * (1 - artefact) * (1 - uneven)
    rest = 1 - (1 - truth.segment_rest) * (1 - artefact) * (1 - uneven - change)
    return Appearance(np.clip(stress, 0, 1), np.clip(rest, 0, 1), artefact)


def read_segments(shown: Appearance, reader: str, rng: np.random.Generator) -> Reading:
    """One reading of one study by the expert of this name.

    Raises
    ------
    InvalidValue
        There is no such reader.
    """
    if reader not in READERS:
        raise InvalidValue(f"there is no reader {reader!r}; there are {', '.join(READERS)}")
    expert = READERS[reader]
    mood = expert.bias + rng.normal(0, expert.mood_sd)
    forgiven = expert.artefact_eye * shown.artefact
    seen = [
        expert.gain * (image - forgiven) + mood + rng.normal(0, expert.noise_sd, 17)
        for image in (shown.stress, shown.rest)
    ]
    stress, rest = (np.searchsorted(_SCORE_EDGES, missing, side="right").astype(np.int8) for missing in seen)
    percent = 100 * float(stress.sum()) / 68
    latent = np.log1p(percent) + rng.normal(0, 0.15)
    return Reading(reader, stress, rest, int(np.searchsorted(_IMPRESSION_EDGES, latent, side="right")))


# Neighbours in a short-axis ring, for unevenness that is wider than a segment.
_NEIGHBOURS = np.eye(17)
for _first, _number in ((0, 6), (6, 6), (12, 4)):
    for _k in range(_number):
        for _step in (-1, 1):
            _NEIGHBOURS[_first + _k, _first + (_k + _step) % _number] = 0.5
_NEIGHBOURS /= np.sqrt((_NEIGHBOURS**2).sum(axis=1, keepdims=True))


def _smooth(noise: FloatArray) -> FloatArray:
    """Noise of the same spread, alike in neighbouring segments."""
    wide: FloatArray = _NEIGHBOURS @ noise
    return wide
