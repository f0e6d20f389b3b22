"""Networks, their losses and training examples, one fit loop, and weights with their hash.

In: arrays and settings. Out: trained networks as safetensors and ONNX. Importing this package does not import torch;
the modules that work on tensors do and are imported by name: ``fit`` (the loop), ``augment``, ``losses``,
``ensemble``, ``polar_layers``, ``backbones`` and ``segmentation``.
"""

from myoscope.learn.card import NOT_FOR_CLINICAL_USE as NOT_FOR_CLINICAL_USE
from myoscope.learn.card import ModelCard as ModelCard
from myoscope.learn.card import read_card as read_card
from myoscope.learn.examples import Examples as Examples
from myoscope.learn.outliers import InputDescription as InputDescription
from myoscope.learn.outliers import describe_inputs as describe_inputs
from myoscope.learn.sampling import STRATEGIES as STRATEGIES
from myoscope.learn.sampling import Strategy as Strategy
from myoscope.learn.sampling import sampling_chances as sampling_chances
from myoscope.learn.splits import Split as Split
from myoscope.learn.splits import cross_validation as cross_validation
from myoscope.learn.splits import external_site as external_site
from myoscope.learn.splits import leave_one_site_out as leave_one_site_out
from myoscope.learn.splits import patient_groups as patient_groups
from myoscope.learn.temperature import fit_temperature as fit_temperature
from myoscope.learn.tracking import csv_log as csv_log
from myoscope.learn.tracking import mlflow_log as mlflow_log
from myoscope.learn.trained_model import Answers as Answers
from myoscope.learn.trained_model import TrainedModel as TrainedModel
from myoscope.learn.trained_model import load_model as load_model
from myoscope.learn.trained_model import save_model as save_model
from myoscope.learn.weights import OnnxNetwork as OnnxNetwork
from myoscope.learn.weights import export_onnx as export_onnx
from myoscope.learn.weights import file_sha256 as file_sha256
from myoscope.learn.weights import load_weights as load_weights
from myoscope.learn.weights import run_onnx as run_onnx
from myoscope.learn.weights import save_weights as save_weights
