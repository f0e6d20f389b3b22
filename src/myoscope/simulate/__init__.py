"""Virtual hearts and images with their exact truth beside them.

In: shapes, activities and a resolution. Out: a `Volume` with the `Surfaces`, frame and defect that made it.
"""

from myoscope.simulate.contraction import Contraction as Contraction
from myoscope.simulate.contraction import contract as contract
from myoscope.simulate.coronaries import CoronaryDisease as CoronaryDisease
from myoscope.simulate.coronaries import CoronaryRisk as CoronaryRisk
from myoscope.simulate.coronaries import draw_coronaries as draw_coronaries
from myoscope.simulate.organ_uptake import organ_concentrations as organ_concentrations
from myoscope.simulate.perfusion import Perfusion as Perfusion
from myoscope.simulate.perfusion import perfuse as perfuse
from myoscope.simulate.perfusion import uptake as uptake
from myoscope.simulate.phantom import Cycle as Cycle
from myoscope.simulate.phantom import Defect as Defect
from myoscope.simulate.phantom import Phantom as Phantom
from myoscope.simulate.phantom import PhantomDraw as PhantomDraw
from myoscope.simulate.phantom import lv_phantom as lv_phantom
from myoscope.simulate.phantom import random_phantom as random_phantom
from myoscope.simulate.tissues import Tissues as Tissues
from myoscope.simulate.torso import Torso as Torso
from myoscope.simulate.torso import draw_torso as draw_torso
