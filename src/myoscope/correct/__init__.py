"""What the physics did to the counts, undone: attenuation maps from CT, their alignment, and scatter.

In: a CT in HU or a mu map, or ``Projections`` with more than one energy window. Out: a mu map in 1/cm on the grid of
the emission image, moved to where the patient was, and the scatter expected in the photopeak. Reconstruction takes
both; every step is named in ``made_by``.
"""

from myoscope.correct.alignment import Alignment as Alignment
from myoscope.correct.alignment import find_alignment as find_alignment
from myoscope.correct.alignment import moved as moved
from myoscope.correct.ct_to_mu import broad_beam as broad_beam
from myoscope.correct.ct_to_mu import ct_to_mu as ct_to_mu
from myoscope.correct.ct_to_mu import mu_on_grid as mu_on_grid
from myoscope.correct.movement import Creep as Creep
from myoscope.correct.movement import Movement as Movement
from myoscope.correct.movement import Step as Step
from myoscope.correct.movement import find_movement as find_movement
from myoscope.correct.movement import moved_back as moved_back
from myoscope.correct.tew import ScatterEstimate as ScatterEstimate
from myoscope.correct.tew import dual_energy_window as dual_energy_window
from myoscope.correct.tew import estimate_scatter as estimate_scatter
from myoscope.correct.tew import triple_energy_window as triple_energy_window
