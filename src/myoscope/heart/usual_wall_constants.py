"""What walls are usual: read off the true shapes of 200 virtual hearts (seed 7001), which follow MRI.

Written by `python docs/make/calibrate_wall.py`; do not edit by hand.
"""

from __future__ import annotations

REFERENCE_MID_ML = 150.0
# Wall volume over the volume inside the mid-wall: share at the reference volume, and power of the volume. At end
# diastole, and averaged over the beat. Spread of its logarithm between people: 0.164 and 0.174.
GATED_WALL = (0.606, -0.099)
UNGATED_WALL = (0.740, -0.156)
# Length from the apex to the valve plane (mid-wall, mm): exp(a) radius^b, spread of its logarithm; end diastole and
# end systole together.
LENGTH_LOG, LENGTH_POWER, LENGTH_LOG_SD = 2.382, 0.604, 0.083
# One heart over its beat: its length follows this power of its radius (spread of the logarithm 0.005).
BEAT_POWER = 0.691
# Mean slope of the valve plane towards lateral and anterior, and its spread.
VALVE_SLOPE, VALVE_SLOPE_SD = (-0.337, -0.121), (0.063, 0.071)
# The wall thins towards the apex by this share, with this reach in arc length.
APICAL_THINNING, APICAL_REACH = 0.446, 0.219
# Muscle inside the cavity as a share of the wall's: papillary muscles stand between these arc lengths and reach this
# far towards the axis at end diastole; trabeculae line the endocardium down to an arc length.
PAPILLARY_SHARE, PAPILLARY_ARC, PAPILLARY_DEPTH = 0.045, (0.37, 0.74), 0.46
TRABECULAE_SHARE, TRABECULAE_END = 0.034, 0.85
