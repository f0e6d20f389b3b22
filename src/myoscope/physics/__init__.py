"""How counts arise: projector, attenuation, collimator, scatter, decay, noise and tracer kinetics.

In: activity and attenuation maps on a grid, and the geometry of a camera. Out: the counts it expects, and the
operators that reconstruction and simulation share. Empty so far: the first operator comes with reconstruction.
"""
