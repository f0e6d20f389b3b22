"""How good a prediction is: discrimination, calibration, agreement, reclassification and survival, with intervals.

In: plain arrays of predictions and outcomes. Out: numbers with their n and interval. Empty so far: the first
metric comes with the first quantity that is compared across patients.
"""
