"""What invasive angiography reports of a patient's arteries: the reference standard of the field, with its own error.

Narrowings are judged by eye. The eye sees them tighter than they measure, by 8.2 % of the diameter on average, and errs
by 8.4 % about that (standard deviation; Nallamothu et al., Circulation 2013;127:1793): of two arteries that measure 57
and 67 %, either may be called obstructed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from myoscope.core import VESSELS
from myoscope.core.segments import Vessel
from myoscope.simulate.coronaries import READ_EXCESS_PERCENT, READ_OBSTRUCTIVE_PERCENT, CoronaryDisease

READING_SD_PERCENT = 8.4
_SEEN_FROM_PERCENT = 15.0  # what is narrowed less is called smooth
_MOST_PERCENT = 99.0


@dataclass(frozen=True, slots=True)
class Angiogram:
    """Worst narrowing of LAD, LCx, RCA and LM as read, % of the diameter."""

    stenosis_percent: Mapping[str, float]

    @property
    def obstructive(self) -> dict[Vessel, bool]:
        """Whether LAD, LCx and RCA are called obstructed: 70 % or more, or for LAD and LCx a left main of 50 %."""
        read = self.stenosis_percent
        left_main = read["LM"] >= READ_OBSTRUCTIVE_PERCENT["LM"]
        return {v: read[v] >= READ_OBSTRUCTIVE_PERCENT[v] or (left_main and v != "RCA") for v in VESSELS}


def read_angiogram(disease: CoronaryDisease, rng: np.random.Generator) -> Angiogram:
    """The report on a patient's arteries; a closed artery is seen to be closed."""
    error = READ_EXCESS_PERCENT + READING_SD_PERCENT * rng.standard_normal(len(VESSELS) + 1)
    read = {}
    for name, by in zip((*VESSELS, "LM"), error.tolist(), strict=True):
        true = disease.worst_stenosis_percent[name]
        if true >= 100 or true < _SEEN_FROM_PERCENT:
            read[name] = 100.0 if true >= 100 else 0.0
        else:
            read[name] = round(float(np.clip(true + by, 0, _MOST_PERCENT)), 0)
    return Angiogram(read)
