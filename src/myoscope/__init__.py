"""Myoscope: myocardial perfusion imaging from DICOM to report, open and tested."""

__version__ = "0.1.0.dev0"
