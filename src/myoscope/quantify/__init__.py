"""From walls and polar maps to clinical numbers.

In: core types (surfaces, polar maps, normal limits). Out: total perfusion deficit, segment scores, volumes, ejection
fraction, motion, thickening and phase.
"""

from myoscope.quantify.function import VentricularFunction as VentricularFunction
from myoscope.quantify.function import curves_through as curves_through
from myoscope.quantify.function import function_of_curve as function_of_curve
from myoscope.quantify.function import long_axis_length_mm as long_axis_length_mm
from myoscope.quantify.function import ventricular_function as ventricular_function
from myoscope.quantify.function import volume_curve as volume_curve
from myoscope.quantify.map_noise import MapNoise as MapNoise
from myoscope.quantify.map_noise import noise_from_detail as noise_from_detail
from myoscope.quantify.map_noise import noise_from_gates as noise_from_gates
from myoscope.quantify.map_noise import noise_from_halves as noise_from_halves
from myoscope.quantify.normal_limits import build_limits as build_limits
from myoscope.quantify.scaling import scale_factors as scale_factors
from myoscope.quantify.scaling import scale_to_limits as scale_to_limits
from myoscope.quantify.segment_scores import SegmentScores as SegmentScores
from myoscope.quantify.segment_scores import category as category
from myoscope.quantify.segment_scores import score_segments as score_segments
from myoscope.quantify.segment_scores import segment_scores_of_many as segment_scores_of_many
from myoscope.quantify.tpd import PerfusionDeficit as PerfusionDeficit
from myoscope.quantify.tpd import cell_scores as cell_scores
from myoscope.quantify.tpd import perfusion_deficit as perfusion_deficit
from myoscope.quantify.tpd import tpd_of_many as tpd_of_many
