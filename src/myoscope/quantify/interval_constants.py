"""Constants of intervals, solved on 58 virtual patients, half of them sent to angiography (seed 7101).

Written by `python docs/make/calibrate_intervals.py`; do not edit by hand.
"""

from __future__ import annotations

from myoscope.quantify.error_model import DrawCalibration, ErrorModel

EDV_ERROR = ErrorModel(bias=-0.04588, base=0.06783, by_softness=0.6142, by_size=-0.09018, by_noise=0.1084, factor=2.041)
ESV_ERROR = ErrorModel(
    bias=0.05412, base=0.09932, by_softness=-0.0002373, by_size=-0.1037, by_noise=0.09887, factor=2.431
)
STILL_ERROR = ErrorModel(
    bias=-0.06029, base=0.08811, by_softness=-0.5388, by_size=-0.01563, by_noise=0.1003, factor=2.357
)
EF_ERROR = ErrorModel(bias=-3.681, base=5.023, by_softness=0.1195, by_size=-0.3022, by_noise=0.1015, factor=2.511)
TPD_DRAWS = DrawCalibration(unbias=0.1767, below=2.057, above=1.465, least=0.3)
SCORE_DRAWS = DrawCalibration(unbias=0, below=2.088, above=1.484, least=0.5)
PHASE_DRAWS = DrawCalibration(unbias=1.757, below=4.783, above=2.172, least=0.3)
