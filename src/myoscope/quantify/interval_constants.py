"""Constants of intervals, solved on 40 virtual patients (seed 7101).

Written by `python docs/make/calibrate_intervals.py`; do not edit by hand.
"""

from __future__ import annotations

from myoscope.quantify.error_model import DrawCalibration, ErrorModel

EDV_ERROR = ErrorModel(
    bias=-0.09098, base=0.08936, by_softness=-0.05717, by_size=-0.1904, by_noise=0.1166, factor=2.288
)
ESV_ERROR = ErrorModel(bias=-0.09602, base=0.1139, by_softness=0.2225, by_size=0.04061, by_noise=0.08954, factor=2.275)
STILL_ERROR = ErrorModel(
    bias=-0.05172, base=0.09779, by_softness=-0.6484, by_size=-0.03123, by_noise=0.1003, factor=2.096
)
EF_ERROR = ErrorModel(bias=-0.9842, base=4.798, by_softness=0.1239, by_size=-0.2402, by_noise=0.09269, factor=1.999)
TPD_DRAWS = DrawCalibration(unbias=0.568, below=1.544, above=0.9712, least=0.3)
SCORE_DRAWS = DrawCalibration(unbias=0, below=1.757, above=0.7569, least=0.5)
PHASE_DRAWS = DrawCalibration(unbias=1.459, below=2.286, above=2.04, least=0.3)
