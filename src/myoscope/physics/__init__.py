"""How counts arise: projector, attenuation, collimator, scatter, decay, noise and tracer kinetics.

In: activity and attenuation maps on a grid, and the geometry of a camera. Out: the counts it expects, and the
operators that reconstruction and simulation share.
"""

from myoscope.physics.attenuation import attenuation_per_cm as attenuation_per_cm
from myoscope.physics.beats import Beats as Beats
from myoscope.physics.beats import Rhythm as Rhythm
from myoscope.physics.camera_geometry import geometry_named as geometry_named
from myoscope.physics.collimator import COLLIMATORS as COLLIMATORS
from myoscope.physics.collimator import Collimator as Collimator
from myoscope.physics.columns import column_projector as column_projector
from myoscope.physics.noise import poisson_counts as poisson_counts
from myoscope.physics.operator import Projector as Projector
from myoscope.physics.parallel import ParallelProjector as ParallelProjector
from myoscope.physics.parallel import parallel_projector as parallel_projector
from myoscope.physics.pinhole import pinhole_projector as pinhole_projector
from myoscope.physics.scatter import scatter_kernel as scatter_kernel
from myoscope.physics.scatter import scatter_sources as scatter_sources
