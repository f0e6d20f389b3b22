"""From walls and polar maps to clinical numbers.

In: core types (surfaces, polar maps, normal limits). Out: total perfusion deficit, segment scores, volumes, ejection
fraction, motion, thickening and phase.
"""

from myoscope.quantify.combined_positions import ABNORMAL_COMBINED_TPD_PERCENT as ABNORMAL_COMBINED_TPD_PERCENT
from myoscope.quantify.combined_positions import ABNORMAL_TPD_PERCENT as ABNORMAL_TPD_PERCENT
from myoscope.quantify.combined_positions import ABNORMAL_VESSEL_TPD_PERCENT as ABNORMAL_VESSEL_TPD_PERCENT
from myoscope.quantify.combined_positions import combined_deficit as combined_deficit
from myoscope.quantify.combined_positions import combined_tpd_of_many as combined_tpd_of_many
from myoscope.quantify.function import VentricularFunction as VentricularFunction
from myoscope.quantify.function import long_axis_length_mm as long_axis_length_mm
from myoscope.quantify.function import ventricular_function as ventricular_function
from myoscope.quantify.ischaemia import Ischaemia as Ischaemia
from myoscope.quantify.ischaemia import deficit_parts as deficit_parts
from myoscope.quantify.ischaemia import ischaemia as ischaemia
from myoscope.quantify.motion_frozen import displacement_to_gates as displacement_to_gates
from myoscope.quantify.motion_frozen import motion_frozen as motion_frozen
from myoscope.quantify.motion_frozen import motion_frozen_map as motion_frozen_map
from myoscope.quantify.normal_limits import build_limits as build_limits
from myoscope.quantify.phase import PHASE_INDICES as PHASE_INDICES
from myoscope.quantify.phase import PhaseAnalysis as PhaseAnalysis
from myoscope.quantify.phase import PhaseStatistics as PhaseStatistics
from myoscope.quantify.phase import after_r_wave_deg as after_r_wave_deg
from myoscope.quantify.phase import centred_phase_deg as centred_phase_deg
from myoscope.quantify.phase import circular_mean_deg as circular_mean_deg
from myoscope.quantify.phase import encoded_phase as encoded_phase
from myoscope.quantify.phase import first_harmonic as first_harmonic
from myoscope.quantify.phase import harmonic_timing_deg as harmonic_timing_deg
from myoscope.quantify.phase import phase_analysis as phase_analysis
from myoscope.quantify.phase import phase_statistics_of_many as phase_statistics_of_many
from myoscope.quantify.phase import phase_weights as phase_weights
from myoscope.quantify.phase import regional_phase_of_many as regional_phase_of_many
from myoscope.quantify.regional_function import WALL_MOTION_TERMS as WALL_MOTION_TERMS
from myoscope.quantify.regional_function import RegionalFunction as RegionalFunction
from myoscope.quantify.regional_function import corrected_thickening_percent as corrected_thickening_percent
from myoscope.quantify.regional_function import count_thickening_percent as count_thickening_percent
from myoscope.quantify.regional_function import graded as graded
from myoscope.quantify.regional_function import inward_motion_mm as inward_motion_mm
from myoscope.quantify.regional_function import regional_function as regional_function
from myoscope.quantify.regional_function import sector_volumes_mL as sector_volumes_mL
from myoscope.quantify.regional_function import slab_recovery as slab_recovery
from myoscope.quantify.regional_function import slab_thickness_mm as slab_thickness_mm
from myoscope.quantify.scaling import scale_factors as scale_factors
from myoscope.quantify.scaling import scale_to_limits as scale_to_limits
from myoscope.quantify.segment_scores import SegmentScores as SegmentScores
from myoscope.quantify.segment_scores import category as category
from myoscope.quantify.segment_scores import score_segments as score_segments
from myoscope.quantify.segment_scores import segment_scores_of_many as segment_scores_of_many
from myoscope.quantify.stress_rest_change import StressRestChange as StressRestChange
from myoscope.quantify.stress_rest_change import stress_rest_change as stress_rest_change
from myoscope.quantify.tpd import PerfusionDeficit as PerfusionDeficit
from myoscope.quantify.tpd import cell_scores as cell_scores
from myoscope.quantify.tpd import perfusion_deficit as perfusion_deficit
from myoscope.quantify.tpd import tpd_of_many as tpd_of_many
