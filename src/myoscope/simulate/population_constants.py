"""Constants of the virtual population that were solved for published figures, not chosen.

Written by `python docs/make/calibrate_population.py`; do not edit by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the calibration solves; see `risk`, `referral` and `outcome` for what each does."""

    vessel_logit: Mapping[str, float]
    vessel_correlation: float
    referral_logit: float
    referral_weight: float
    deficit_weight: float
    deficit_limit_percent: float
    early_logit: float
    base_hazard_per_y: Mapping[str, float]


CALIBRATED = Calibrated(
    vessel_logit=MappingProxyType({"LAD": -3.8986, "LCx": -4.5656, "RCA": -4.3629}),
    vessel_correlation=0.5771,
    referral_logit=-6.5781,
    referral_weight=1.4637,
    deficit_weight=0.6768,
    deficit_limit_percent=17.92,
    early_logit=0.07955,
    base_hazard_per_y=MappingProxyType({"ACS": 0.001191, "death": 0.001557, "revascularisation": 0.002084}),
)
