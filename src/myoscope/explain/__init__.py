"""Why a model said what it said: attribution, Shapley values, individual conditional expectation, and their checks.

In: any callable from inputs to one number (gradients need a network of torch) and the input it was given, with a
baseline to compare it with. Out: an ``Explanation`` of that input's shape, with how far it adds up to the prediction;
and, because an explanation is a claim, what tells whether it is true: pointing at a known defect, deletion and
insertion, random models and labels, noise.
"""

from myoscope.explain.cam import grad_cam as grad_cam
from myoscope.explain.cam import grad_cam_plus_plus as grad_cam_plus_plus
from myoscope.explain.curves import WhatIf as WhatIf
from myoscope.explain.curves import what_if as what_if
from myoscope.explain.faithfulness import Faithfulness as Faithfulness
from myoscope.explain.faithfulness import faithfulness as faithfulness
from myoscope.explain.gradients import gradient_shap as gradient_shap
from myoscope.explain.gradients import integrated_gradients as integrated_gradients
from myoscope.explain.lime import lime as lime
from myoscope.explain.localisation import Pointing as Pointing
from myoscope.explain.localisation import chance_of_hit as chance_of_hit
from myoscope.explain.localisation import lowest_segment_hits as lowest_segment_hits
from myoscope.explain.localisation import point_at as point_at
from myoscope.explain.model import Model as Model
from myoscope.explain.occlusion import occlusion as occlusion
from myoscope.explain.occlusion import region_occlusion as region_occlusion
from myoscope.explain.sanity import Stability as Stability
from myoscope.explain.sanity import likeness as likeness
from myoscope.explain.sanity import stability as stability
from myoscope.explain.segments import by_segment as by_segment
from myoscope.explain.segments import plane as plane
from myoscope.explain.segments import segment_probabilities as segment_probabilities
from myoscope.explain.shapley import ShapleyValues as ShapleyValues
from myoscope.explain.shapley import covariate_shapley as covariate_shapley
from myoscope.explain.shapley import map_shapley as map_shapley
from myoscope.explain.shapley import region_shapley as region_shapley
from myoscope.explain.shapley import shapley_values as shapley_values
from myoscope.explain.waterfall import Waterfall as Waterfall
from myoscope.explain.waterfall import waterfall as waterfall
