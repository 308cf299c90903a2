"""Take a trained model out of minidl: to a file for ONNX, to C, or to a function of NumPy."""

from minidl.export.c_header import to_c as to_c
from minidl.export.numpy_file import to_numpy as to_numpy
from minidl.export.onnx_file import to_onnx as to_onnx

__all__ = ["to_c", "to_numpy", "to_onnx"]
