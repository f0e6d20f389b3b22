"""How good a prediction is: discrimination, calibration, agreement, reclassification and survival, with intervals.

In: plain arrays of predictions and outcomes, one row per patient (or per vessel, with the patient it belongs to). Out:
numbers with their n and interval, and one call, `paper`, for the table and the plots of a paper. numpy and scipy only;
what draws imports matplotlib then.
"""

from myoscope.evaluate.agreement import BlandAltman as BlandAltman
from myoscope.evaluate.agreement import bland_altman as bland_altman
from myoscope.evaluate.agreement import icc_2_1 as icc_2_1
from myoscope.evaluate.agreement import repeatability_coefficient as repeatability_coefficient
from myoscope.evaluate.auc import Aucs as Aucs
from myoscope.evaluate.auc import auc as auc
from myoscope.evaluate.auc import aucs as aucs
from myoscope.evaluate.bootstrap import Statistic as Statistic
from myoscope.evaluate.bootstrap import bootstrap as bootstrap
from myoscope.evaluate.bootstrap import draw_weights as draw_weights
from myoscope.evaluate.bootstrap import weighted_auc as weighted_auc
from myoscope.evaluate.bootstrap import weighted_brier as weighted_brier
from myoscope.evaluate.bootstrap import weighted_mean as weighted_mean
from myoscope.evaluate.calibration import BrierParts as BrierParts
from myoscope.evaluate.calibration import Calibration as Calibration
from myoscope.evaluate.calibration import CalibrationCurve as CalibrationCurve
from myoscope.evaluate.calibration import brier_parts as brier_parts
from myoscope.evaluate.calibration import calibration as calibration
from myoscope.evaluate.calibration import calibration_curve as calibration_curve
from myoscope.evaluate.calibration import logistic_fit as logistic_fit
from myoscope.evaluate.censoring import FollowUpTimes as FollowUpTimes
from myoscope.evaluate.censoring import StepCurve as StepCurve
from myoscope.evaluate.censoring import censoring_curve as censoring_curve
from myoscope.evaluate.censoring import kaplan_meier as kaplan_meier
from myoscope.evaluate.concordance import harrell_c as harrell_c
from myoscope.evaluate.concordance import uno_c as uno_c
from myoscope.evaluate.conformal import ConformalThresholds as ConformalThresholds
from myoscope.evaluate.conformal import RiskCoverage as RiskCoverage
from myoscope.evaluate.conformal import SetAccuracy as SetAccuracy
from myoscope.evaluate.conformal import conformal_thresholds as conformal_thresholds
from myoscope.evaluate.conformal import risk_coverage as risk_coverage
from myoscope.evaluate.conformal import set_accuracy as set_accuracy
from myoscope.evaluate.dynamic_auc import dynamic_auc as dynamic_auc
from myoscope.evaluate.estimate import Estimate as Estimate
from myoscope.evaluate.estimate import wilson_interval as wilson_interval
from myoscope.evaluate.incidence import brier_at as brier_at
from myoscope.evaluate.incidence import cumulative_incidence as cumulative_incidence
from myoscope.evaluate.incidence import incidence_at as incidence_at
from myoscope.evaluate.incidence import integrated_brier as integrated_brier
from myoscope.evaluate.mcnemar import McNemar as McNemar
from myoscope.evaluate.mcnemar import mcnemar as mcnemar
from myoscope.evaluate.paper import Paper as Paper
from myoscope.evaluate.paper import PaperRow as PaperRow
from myoscope.evaluate.paper import Score as Score
from myoscope.evaluate.paper import paper as paper
from myoscope.evaluate.reclassification import Reclassification as Reclassification
from myoscope.evaluate.reclassification import categorical_nri as categorical_nri
from myoscope.evaluate.reclassification import category_free_nri as category_free_nri
from myoscope.evaluate.reclassification import idi as idi
from myoscope.evaluate.roc import MatchedAccuracy as MatchedAccuracy
from myoscope.evaluate.roc import Operating as Operating
from myoscope.evaluate.roc import RocCurve as RocCurve
from myoscope.evaluate.roc import operating_point as operating_point
from myoscope.evaluate.roc import roc_curve as roc_curve
from myoscope.evaluate.roc import sensitivity_at_matched_specificity as sensitivity_at_matched_specificity
from myoscope.evaluate.roc import sensitivity_at_specificity as sensitivity_at_specificity
from myoscope.evaluate.roc import specificity_at_matched_sensitivity as specificity_at_matched_sensitivity
from myoscope.evaluate.subgroups import Factor as Factor
from myoscope.evaluate.subgroups import Subgroup as Subgroup
from myoscope.evaluate.subgroups import bands as bands
from myoscope.evaluate.subgroups import subgroups as subgroups
from myoscope.evaluate.utility import DecisionCurve as DecisionCurve
from myoscope.evaluate.utility import decision_curve as decision_curve
from myoscope.evaluate.utility import net_benefit as net_benefit
from myoscope.evaluate.utility import weighted_net_benefit as weighted_net_benefit
from myoscope.evaluate.verification import VerifiedAccuracy as VerifiedAccuracy
from myoscope.evaluate.verification import VerifiedAuc as VerifiedAuc
from myoscope.evaluate.verification import begg_greenes as begg_greenes
from myoscope.evaluate.verification import verified_auc as verified_auc
