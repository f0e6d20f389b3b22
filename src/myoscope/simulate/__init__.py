"""Virtual patients, and analytic phantoms, with their exact truth beside them.

In: a seed and a site (or shapes, activities and a resolution). Out: a `VirtualPatient` whose body, heart, disease,
perfusion, motion, findings and outcome are known, the `Scene` that a camera sees of it, and `Projections` of that.
"""

from myoscope.simulate.acquire import acquire as acquire
from myoscope.simulate.acquire import acquire_gated_and_ungated as acquire_gated_and_ungated
from myoscope.simulate.acquire import expected_counts as expected_counts
from myoscope.simulate.beat import BeatingHeart as BeatingHeart
from myoscope.simulate.cameras import CAMERAS as CAMERAS
from myoscope.simulate.cameras import Camera as Camera
from myoscope.simulate.contraction import Contraction as Contraction
from myoscope.simulate.contraction import contract as contract
from myoscope.simulate.coronaries import CoronaryDisease as CoronaryDisease
from myoscope.simulate.coronaries import CoronaryRisk as CoronaryRisk
from myoscope.simulate.coronaries import draw_coronaries as draw_coronaries
from myoscope.simulate.deficit import Deficit as Deficit
from myoscope.simulate.heart import Heart as Heart
from myoscope.simulate.heart import draw_heart as draw_heart
from myoscope.simulate.motion import Motion as Motion
from myoscope.simulate.motion import draw_motion as draw_motion
from myoscope.simulate.organ_uptake import organ_concentrations as organ_concentrations
from myoscope.simulate.outcome import FollowUp as FollowUp
from myoscope.simulate.outcome import HeartSummary as HeartSummary
from myoscope.simulate.outcome import follow_up as follow_up
from myoscope.simulate.perfusion import Perfusion as Perfusion
from myoscope.simulate.perfusion import perfuse as perfuse
from myoscope.simulate.perfusion import uptake as uptake
from myoscope.simulate.person import Person as Person
from myoscope.simulate.person import draw_person as draw_person
from myoscope.simulate.phantom import Cycle as Cycle
from myoscope.simulate.phantom import Defect as Defect
from myoscope.simulate.phantom import Phantom as Phantom
from myoscope.simulate.phantom import PhantomDraw as PhantomDraw
from myoscope.simulate.phantom import lv_phantom as lv_phantom
from myoscope.simulate.phantom import random_phantom as random_phantom
from myoscope.simulate.population_columns import POPULATION_COLUMNS as POPULATION_COLUMNS
from myoscope.simulate.population_columns import facts_row as facts_row
from myoscope.simulate.population_columns import outcome_row as outcome_row
from myoscope.simulate.readers import Reading as Reading
from myoscope.simulate.readers import read_segments as read_segments
from myoscope.simulate.referral import PatientFacts as PatientFacts
from myoscope.simulate.referral import draw_patient_facts as draw_patient_facts
from myoscope.simulate.referral import is_referred as is_referred
from myoscope.simulate.risk import coronary_risk as coronary_risk
from myoscope.simulate.risk import pretest_likelihood as pretest_likelihood
from myoscope.simulate.scene import Scene as Scene
from myoscope.simulate.sites import SITES as SITES
from myoscope.simulate.sites import Site as Site
from myoscope.simulate.tissues import Tissues as Tissues
from myoscope.simulate.torso import Torso as Torso
from myoscope.simulate.torso import draw_torso as draw_torso
