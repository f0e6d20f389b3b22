"""Networks, their losses and training examples, one fit loop, and weights with their hash.

In: arrays and settings. Out: trained networks as safetensors and ONNX. Importing this package does not import torch;
``myoscope.learn.segmentation``, which defines the networks, does.
"""

from myoscope.learn.weights import export_onnx as export_onnx
from myoscope.learn.weights import file_sha256 as file_sha256
from myoscope.learn.weights import load_weights as load_weights
from myoscope.learn.weights import run_onnx as run_onnx
from myoscope.learn.weights import save_weights as save_weights
