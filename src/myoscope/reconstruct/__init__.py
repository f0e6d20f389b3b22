"""From projections to a volume: filtered back-projection, MLEM and OSEM, and the filters that follow them.

In: ``Projections``, and the physics to believe in (a mu map, expected scatter). Out: a ``Volume`` on an axis-aligned
grid in counts (or kBq/mL), gated or dynamic as the projections were, with every step in ``made_by``; and a survey of
what is doubtful about the projections. Pictures of gates come from filtered back-projection, as clinics do.
"""

from myoscope.reconstruct.choices import settings_from_words as settings_from_words
from myoscope.reconstruct.fbp import filtered_back_projection as filtered_back_projection
from myoscope.reconstruct.filters import Butterworth as Butterworth
from myoscope.reconstruct.filters import Filter as Filter
from myoscope.reconstruct.filters import Gaussian as Gaussian
from myoscope.reconstruct.filters import Hann as Hann
from myoscope.reconstruct.filters import smooth as smooth
from myoscope.reconstruct.from_projections import GATED_FILTER as GATED_FILTER
from myoscope.reconstruct.from_projections import OF_ONE_PATIENT as OF_ONE_PATIENT
from myoscope.reconstruct.from_projections import ReconstructionSettings as ReconstructionSettings
from myoscope.reconstruct.from_projections import frame_duration_s as frame_duration_s
from myoscope.reconstruct.from_projections import image_grid as image_grid
from myoscope.reconstruct.from_projections import reconstruct as reconstruct
from myoscope.reconstruct.from_projections import reconstruct_frames as reconstruct_frames
from myoscope.reconstruct.from_projections import without_gates as without_gates
from myoscope.reconstruct.halves import split_counts as split_counts
from myoscope.reconstruct.mlem import Measurement as Measurement
from myoscope.reconstruct.mlem import log_likelihood as log_likelihood
from myoscope.reconstruct.mlem import mlem as mlem
from myoscope.reconstruct.osem import ordered_subsets as ordered_subsets
from myoscope.reconstruct.osem import osem as osem
from myoscope.reconstruct.reproject import quick_image as quick_image
from myoscope.reconstruct.reproject import reprojector as reprojector
from myoscope.reconstruct.survey import Survey as Survey
from myoscope.reconstruct.survey import photopeak as photopeak
from myoscope.reconstruct.survey import photopeak_keV as photopeak_keV
from myoscope.reconstruct.survey import survey as survey
