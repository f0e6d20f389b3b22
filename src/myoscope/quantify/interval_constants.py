"""Constants of intervals, solved on virtual patients.

Written by `python docs/make/calibrate_intervals.py`; do not edit by hand.
"""

from __future__ import annotations

from myoscope.quantify.error_model import DrawCalibration, ErrorModel

EDV_ERROR = ErrorModel(bias=0.0, base=0.08, by_softness=0.5, by_size=-0.2, by_noise=0.1)
ESV_ERROR = ErrorModel(bias=0.0, base=0.14, by_softness=0.5, by_size=-0.3, by_noise=0.1)
STILL_ERROR = ErrorModel(bias=0.0, base=0.10, by_softness=0.5, by_size=-0.2, by_noise=0.1)
EF_ERROR = ErrorModel(bias=0.0, base=4.0, by_softness=0.3, by_size=-0.3, by_noise=0.1)

TPD_DRAWS = DrawCalibration(unbias=1.0, below=1.96, above=1.96, least=0.3)
SCORE_DRAWS = DrawCalibration(unbias=1.0, below=1.96, above=1.96, least=0.5)
PHASE_DRAWS = DrawCalibration(unbias=1.0, below=1.96, above=1.96, least=0.3)
