"""Myocardial blood flow: from curves of the wall and of blood to mL/min/g, one published model per file.

In: `WallCurves` (time-activity curves of wall and blood with their frames and weights). Out: a `FlowEstimate`: flow
with its standard error in every curve, all other parameters, how well the model fits, and why there is no flow where
there is none.
"""

from myoscope.quantify.flow.alessio import alessio as alessio
from myoscope.quantify.flow.compartment_model import MUSCLE_G_ML as MUSCLE_G_ML
from myoscope.quantify.flow.compartment_model import CompartmentModel as CompartmentModel
from myoscope.quantify.flow.compartment_model import FlowModel as FlowModel
from myoscope.quantify.flow.compartment_model import fit_model as fit_model
from myoscope.quantify.flow.compartment_model import profile as profile
from myoscope.quantify.flow.degrado import degrado as degrado
from myoscope.quantify.flow.el_fakhri import el_fakhri as el_fakhri
from myoscope.quantify.flow.estimate import FlowEstimate as FlowEstimate
from myoscope.quantify.flow.estimate import Parameter as Parameter
from myoscope.quantify.flow.flurpiridaz import flurpiridaz as flurpiridaz
from myoscope.quantify.flow.herrero import herrero as herrero
from myoscope.quantify.flow.hutchins import hutchins as hutchins
from myoscope.quantify.flow.iida import BasisFunctionFlow as BasisFunctionFlow
from myoscope.quantify.flow.iida import basis_functions as basis_functions
from myoscope.quantify.flow.iida import iida as iida
from myoscope.quantify.flow.katoh import katoh as katoh
from myoscope.quantify.flow.lautamaki import lautamaki as lautamaki
from myoscope.quantify.flow.lortie import lortie as lortie
from myoscope.quantify.flow.net_retention import net_retention as net_retention
from myoscope.quantify.flow.one_tissue import OneTissue as OneTissue
from myoscope.quantify.flow.one_tissue import with_global_distribution_volume as with_global_distribution_volume
from myoscope.quantify.flow.plasma_input import METABOLITES_PER_MIN as METABOLITES_PER_MIN
from myoscope.quantify.flow.sitek import sitek as sitek
from myoscope.quantify.flow.tc99m_one_tissue import tc99m_one_tissue as tc99m_one_tissue
from myoscope.quantify.flow.ucla import ucla as ucla
from myoscope.quantify.flow.wall_data import Blood as Blood
from myoscope.quantify.flow.wall_data import WallCurves as WallCurves
from myoscope.quantify.flow.wall_data import frame_weights as frame_weights
from myoscope.quantify.flow.yoshida import yoshida as yoshida
