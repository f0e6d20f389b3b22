"""Virtual hearts and images with their exact truth beside them.

In: shapes, activities and a resolution. Out: a `Volume` with the `Surfaces`, frame and defect that made it.
"""

from myoscope.simulate.phantom import Cycle as Cycle
from myoscope.simulate.phantom import Defect as Defect
from myoscope.simulate.phantom import Phantom as Phantom
from myoscope.simulate.phantom import PhantomDraw as PhantomDraw
from myoscope.simulate.phantom import lv_phantom as lv_phantom
from myoscope.simulate.phantom import random_phantom as random_phantom
from myoscope.simulate.tissues import Tissues as Tissues
from myoscope.simulate.torso import Torso as Torso
from myoscope.simulate.torso import draw_torso as draw_torso
