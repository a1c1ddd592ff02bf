"""Networks of PyTorch, safetensors and ONNX as models of this lab.

    python -m workshop.models.convert model.onnx --labels labels.txt --preprocessing imagenet --out folder

This package imports MXNet, ONNX and ONNX Runtime; `workshop.models` does not import it before a conversion.
"""

from workshop.models.convert.conversion import BESIDE, SUFFIXES, Converted, convert
from workshop.models.convert.errors import ConversionError
from workshop.models.convert.preprocessing import PRESETS, Preprocessing, given

__all__ = ["BESIDE", "PRESETS", "SUFFIXES", "ConversionError", "Converted", "Preprocessing", "convert", "given"]
