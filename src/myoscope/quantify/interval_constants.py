"""Constants of intervals, solved on 58 virtual patients, half of them sent to angiography (seed 7101).

Written by `python docs/make/calibrate_intervals.py`; do not edit by hand.
"""

from __future__ import annotations

from myoscope.quantify.error_model import DrawCalibration, ErrorModel

EDV_ERROR = ErrorModel(bias=-0.02796, base=0.06582, by_softness=0.6299, by_size=-0.07307, by_noise=0.1032, factor=2.277)
ESV_ERROR = ErrorModel(bias=0.01237, base=0.104, by_softness=0.1047, by_size=-0.04434, by_noise=0.09106, factor=2.288)
STILL_ERROR = ErrorModel(
    bias=-0.06029, base=0.08811, by_softness=-0.5388, by_size=-0.01563, by_noise=0.1003, factor=2.357
)
EF_ERROR = ErrorModel(bias=-0.8983, base=4.533, by_softness=0.1256, by_size=-0.2849, by_noise=0.1012, factor=2.379)
TPD_DRAWS = DrawCalibration(unbias=0.1759, below=2.045, above=1.454, least=0.3)
SCORE_DRAWS = DrawCalibration(unbias=0, below=2.073, above=1.509, least=0.5)
PHASE_DRAWS = DrawCalibration(unbias=1.639, below=5.998, above=2.696, least=0.3)
ENTROPY_DRAWS = DrawCalibration(unbias=2, below=13.73, above=2.568, least=0.01)
