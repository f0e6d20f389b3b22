"""From an image to the left ventricle: locate, outline, segment, reorient, sample.

In: a reconstructed ``Volume`` (gated or not, any grid and orientation). Out: a ``LeftVentricle`` (axis, centre and
wall as readers outline it), the anatomical ``Surfaces``, short-axis volumes and ``PolarMap`` values.
"""

from myoscope.heart.axis import frame_from_wall as frame_from_wall
from myoscope.heart.find import find_by_network as find_by_network
from myoscope.heart.find import find_left_ventricle as find_left_ventricle
from myoscope.heart.find_model import find_by_model as find_by_model
from myoscope.heart.left_ventricle import LeftVentricle as LeftVentricle
from myoscope.heart.reorient import reorient as reorient
from myoscope.heart.reorient import resample as resample
from myoscope.heart.reorient import view_grid as view_grid
from myoscope.heart.sample import SAMPLING_METHODS as SAMPLING_METHODS
from myoscope.heart.sample import sample_wall as sample_wall
from myoscope.heart.slab_fit import default_resolution_mm as default_resolution_mm
from myoscope.heart.slab_fit import fit_surfaces as fit_surfaces
from myoscope.heart.soft_wall import SoftWall as SoftWall
from myoscope.heart.soft_wall import fit_soft_wall as fit_soft_wall
from myoscope.heart.softness import is_soft as is_soft
