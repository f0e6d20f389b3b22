"""Constants of intervals, solved on 58 virtual patients, half of them sent to angiography (seed 7101).

Written by `python docs/make/calibrate_intervals.py`; do not edit by hand.
"""

from __future__ import annotations

from myoscope.quantify.error_model import DrawCalibration, ErrorModel

EDV_ERROR = ErrorModel(bias=-0.02796, base=0.06481, by_softness=0.6277, by_size=-0.06972, by_noise=0.1069, factor=2.29)
ESV_ERROR = ErrorModel(bias=0.01237, base=0.1036, by_softness=0.09993, by_size=-0.04302, by_noise=0.08945, factor=2.287)
STILL_ERROR = ErrorModel(
    bias=-0.06029, base=0.08811, by_softness=-0.5388, by_size=-0.01563, by_noise=0.1003, factor=2.357
)
EF_ERROR = ErrorModel(bias=-0.8983, base=4.51, by_softness=0.1197, by_size=-0.283, by_noise=0.0991, factor=2.374)
TPD_DRAWS = DrawCalibration(unbias=0.1748, below=2.059, above=1.487, least=0.3)
SCORE_DRAWS = DrawCalibration(unbias=0, below=2.114, above=1.505, least=0.5)
PHASE_DRAWS = DrawCalibration(unbias=1.681, below=3.394, above=1.844, least=0.3)
