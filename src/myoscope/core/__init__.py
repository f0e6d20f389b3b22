"""The types that flow through Myoscope: images with a place, walls, polar maps, studies and results.

In: arrays with their geometry, unit and meaning. Out: immutable, validated values that every other package
takes and gives. numpy only; how they are stored is the business of ``myoscope.io``.
"""

from myoscope.core.cohort import Cohort as Cohort
from myoscope.core.cohort import Column as Column
from myoscope.core.cohort import Folds as Folds
from myoscope.core.errors import GeometryMismatch as GeometryMismatch
from myoscope.core.errors import HeartNotFound as HeartNotFound
from myoscope.core.errors import InvalidValue as InvalidValue
from myoscope.core.errors import MixedPatients as MixedPatients
from myoscope.core.errors import MyoscopeError as MyoscopeError
from myoscope.core.errors import NothingToAnalyse as NothingToAnalyse
from myoscope.core.errors import OutputError as OutputError
from myoscope.core.errors import UnitMismatch as UnitMismatch
from myoscope.core.errors import UnreadableFile as UnreadableFile
from myoscope.core.errors import UnsupportedFile as UnsupportedFile
from myoscope.core.errors import WorkerDied as WorkerDied
from myoscope.core.explanation import Explanation as Explanation
from myoscope.core.flow import CurveFit as CurveFit
from myoscope.core.flow import FlowCurves as FlowCurves
from myoscope.core.flow import FlowResult as FlowResult
from myoscope.core.flow import RegionValue as RegionValue
from myoscope.core.flow import ReserveResult as ReserveResult
from myoscope.core.geometry import CardiacFrame as CardiacFrame
from myoscope.core.geometry import Grid as Grid
from myoscope.core.geometry import unit_vector as unit_vector
from myoscope.core.limits import AS_STORED as AS_STORED
from myoscope.core.limits import NormalLimits as NormalLimits
from myoscope.core.limits import StudyKind as StudyKind
from myoscope.core.model_report import Contribution as Contribution
from myoscope.core.model_report import ModelReport as ModelReport
from myoscope.core.model_report import WhatIfCurve as WhatIfCurve
from myoscope.core.polar_map import N_ANGLES as N_ANGLES
from myoscope.core.polar_map import N_RINGS as N_RINGS
from myoscope.core.polar_map import PolarMap as PolarMap
from myoscope.core.polar_map import Weighting as Weighting
from myoscope.core.prediction import PROBABILITY as PROBABILITY
from myoscope.core.prediction import Prediction as Prediction
from myoscope.core.result import MAP_MEANINGS as MAP_MEANINGS
from myoscope.core.result import HeartResult as HeartResult
from myoscope.core.result import LimitsUsed as LimitsUsed
from myoscope.core.result import PairResult as PairResult
from myoscope.core.result import Quantity as Quantity
from myoscope.core.result import SeriesResult as SeriesResult
from myoscope.core.result import StudyResult as StudyResult
from myoscope.core.result import VolumeCurve as VolumeCurve
from myoscope.core.segments import SEGMENTS_17 as SEGMENTS_17
from myoscope.core.segments import SEGMENTS_20 as SEGMENTS_20
from myoscope.core.segments import VESSEL_SNOMED as VESSEL_SNOMED
from myoscope.core.segments import VESSELS as VESSELS
from myoscope.core.segments import Segment as Segment
from myoscope.core.segments import segment_number as segment_number
from myoscope.core.segments import segment_table as segment_table
from myoscope.core.segments import territory_map as territory_map
from myoscope.core.study import MISSING as MISSING
from myoscope.core.study import Flag as Flag
from myoscope.core.study import Series as Series
from myoscope.core.study import SourceFile as SourceFile
from myoscope.core.study import Stated as Stated
from myoscope.core.study import Study as Study
from myoscope.core.surfaces import Surfaces as Surfaces
from myoscope.core.volume import EnergyWindow as EnergyWindow
from myoscope.core.volume import Gating as Gating
from myoscope.core.volume import Projections as Projections
from myoscope.core.volume import Volume as Volume
