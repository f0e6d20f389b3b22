"""Myoscope for others: a web viewer and a DICOM node.

In: studies that arrive over the network. Out: pages and DICOM objects that answer them. Empty so far: the command
line and the report are the only way in and out.
"""
