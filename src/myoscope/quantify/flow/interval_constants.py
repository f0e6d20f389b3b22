"""What a fit of flow cannot see of its own error: of 56 virtual patients (rubidium, seeds 100-155).

Written by `python docs/make/calibrate_flow.py`; do not edit by hand. Standard deviations of the logarithm of flow by
region: blood and wall read in wrong places, movement left over, what the model has wrong.
"""

from __future__ import annotations

from collections.abc import Mapping

UNSEEN_LOG_SD: Mapping[str, float] = {"segment": 0.144, "vessel": 0.0843, "whole": 0.0647}
