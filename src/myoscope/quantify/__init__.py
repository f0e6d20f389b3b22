"""From walls and polar maps to clinical numbers.

In: core types (surfaces, polar maps). Out: volumes, ejection fraction and thickening; perfusion scores,
phase and blood flow follow with their issues.
"""

from myoscope.quantify.function import VentricularFunction as VentricularFunction
from myoscope.quantify.function import long_axis_length_mm as long_axis_length_mm
from myoscope.quantify.function import ventricular_function as ventricular_function
