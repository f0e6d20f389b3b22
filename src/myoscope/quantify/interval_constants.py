"""Constants of intervals, solved on virtual patients.

EDV, ESV and EF: 297 studies of 149 patients, half of the reference registry as far as it was made.
The rest: 58 patients, half of them sent to angiography (seed 7101).

Written by `python docs/make/calibrate_intervals.py`; do not edit by hand.
"""

from __future__ import annotations

from myoscope.quantify.error_model import DrawCalibration, ErrorModel

EDV_ERROR = {
    "any": ErrorModel(
        bias=-0.06608,
        base=0.08534,
        by_softness=-0.4168,
        by_size=-0.3322,
        by_noise=0.1122,
        factor=2.413,
        bias_by_softness=0.02579,
        bias_by_size=0.05331,
        known_fwhm_mm=(6.777, 21.39),
        known_volume_mL=(81.94, 325.7),
    ),
    "column-czt": ErrorModel(
        bias=-0.1204,
        base=0.08035,
        by_softness=-0.1136,
        by_size=-0.09002,
        by_noise=0.06784,
        factor=2.153,
        bias_by_softness=0.2228,
        bias_by_size=-0.02266,
        known_fwhm_mm=(15.55, 20.76),
        known_volume_mL=(85.11, 315.4),
    ),
    "conventional": ErrorModel(
        bias=-0.03542,
        base=0.04729,
        by_softness=-0.6327,
        by_size=-0.4033,
        by_noise=0.2375,
        factor=2.521,
        bias_by_softness=0.2412,
        bias_by_size=0.04135,
        known_fwhm_mm=(6.777, 18.75),
        known_volume_mL=(81.94, 325.7),
    ),
}
ESV_ERROR = {
    "any": ErrorModel(
        bias=-0.004844,
        base=0.08963,
        by_softness=-0.02905,
        by_size=-0.5022,
        by_noise=0.1057,
        factor=2.427,
        bias_by_softness=0.193,
        bias_by_size=0.04564,
        known_fwhm_mm=(6.777, 21.39),
        known_volume_mL=(23.04, 235.9),
    ),
    "column-czt": ErrorModel(
        bias=-0.05811,
        base=0.1073,
        by_softness=-0.08464,
        by_size=-0.3572,
        by_noise=0.09296,
        factor=2.225,
        bias_by_softness=0.4452,
        bias_by_size=0.09478,
        known_fwhm_mm=(15.55, 20.76),
        known_volume_mL=(32.2, 214.7),
    ),
    "conventional": ErrorModel(
        bias=0.003035,
        base=0.05787,
        by_softness=-0.6573,
        by_size=-0.5289,
        by_noise=0.172,
        factor=2.044,
        bias_by_softness=0.5301,
        bias_by_size=0.01181,
        known_fwhm_mm=(6.777, 18.75),
        known_volume_mL=(23.04, 235.9),
    ),
}
STROKE_ERROR = {
    "any": ErrorModel(
        bias=-0.115,
        base=0.09356,
        by_softness=0.1797,
        by_size=-0.1688,
        by_noise=0.1352,
        factor=2.265,
        bias_by_softness=-0.05385,
        bias_by_size=0.1135,
        known_fwhm_mm=(6.777, 21.39),
        known_volume_mL=(81.94, 325.7),
    ),
    "column-czt": ErrorModel(
        bias=-0.1631,
        base=0.09726,
        by_softness=0.1854,
        by_size=-0.04867,
        by_noise=0.0901,
        factor=2.198,
        bias_by_softness=0.08586,
        bias_by_size=0.01992,
        known_fwhm_mm=(15.55, 20.76),
        known_volume_mL=(85.11, 315.4),
    ),
    "conventional": ErrorModel(
        bias=-0.06081,
        base=0.06824,
        by_softness=-0.001652,
        by_size=-0.2309,
        by_noise=0.2225,
        factor=2.331,
        bias_by_softness=0.03314,
        bias_by_size=0.0663,
        known_fwhm_mm=(6.777, 18.75),
        known_volume_mL=(81.94, 325.7),
    ),
}
EF_ERROR = {
    "any": ErrorModel(
        bias=-2.365,
        base=3.465,
        by_softness=0.2493,
        by_size=-0.2468,
        by_noise=0.183,
        factor=2.39,
        bias_by_softness=-6.383,
        bias_by_size=3.367,
        known_fwhm_mm=(6.777, 21.39),
        known_volume_mL=(81.94, 325.7),
    ),
    "column-czt": ErrorModel(
        bias=-1.641,
        base=3.997,
        by_softness=0.268,
        by_size=-0.1878,
        by_noise=0.1265,
        factor=2.41,
        bias_by_softness=-8.375,
        bias_by_size=1.151,
        known_fwhm_mm=(15.55, 20.76),
        known_volume_mL=(85.11, 315.4),
    ),
    "conventional": ErrorModel(
        bias=-1.906,
        base=2.989,
        by_softness=-0.5902,
        by_size=-0.3551,
        by_noise=0.1958,
        factor=2.261,
        bias_by_softness=-10.55,
        bias_by_size=2.368,
        known_fwhm_mm=(6.777, 18.75),
        known_volume_mL=(81.94, 325.7),
    ),
}
STILL_ERROR = {
    "any": ErrorModel(
        bias=-0.08259,
        base=0.08226,
        by_softness=-0.4209,
        by_size=-0.1085,
        by_noise=0.1003,
        factor=2.33,
        bias_by_softness=0.2318,
        bias_by_size=0.04868,
        known_fwhm_mm=(7.5, 20.11),
        known_volume_mL=(55.98, 244.9),
    ),
}
TPD_DRAWS = DrawCalibration(unbias=0.1759, below=2.045, above=1.454, least=0.3)
SCORE_DRAWS = DrawCalibration(unbias=0, below=2.073, above=1.509, least=0.5)
PHASE_DRAWS = DrawCalibration(unbias=1.639, below=5.998, above=2.696, least=0.3)
ENTROPY_DRAWS = DrawCalibration(unbias=2, below=13.73, above=2.568, least=0.01)
