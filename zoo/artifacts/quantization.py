"""Converts ONNX graphs of float32 to weights in fp16, or to products in int8, with onnxruntime's quantization."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from sdk.artifact import ONNX_INPUT
from zoo.utils.errors import ExportError
from zoo.utils.quiet import quiet
from zoo.utils.signals import check_stopped

_PRODUCTS = ("Conv", "Gemm", "MatMul")
_FEW = 16
"""Tensors of fewer numbers stay in float32: a Cast would take more bytes than it saves."""
_CALIBRATION_BATCH = 32


def halve_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with its weights stored in fp16, and a Cast to float32 behind each.

    A runtime folds the Casts when it loads the file, so the graph computes in float32, as fast as before, on any
    processor. Raises ExportError for a weight beyond fp16's largest number, 65504.
    """
    halved = onnx.ModelProto()
    halved.CopyFrom(model)
    graph, casts = halved.graph, []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _FEW:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half).all():
            raise ExportError(
                f"weight {tensor.name}: found {np.abs(values).max():g}, fp16 allows 65504 at most; use int8 or float32"
            )
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])
    return halved


def quantize_products(model: onnx.ModelProto, inputs: NDArray[np.float32]) -> onnx.ModelProto:
    """Return the graph with its matrix products and convolutions in int8, and its other weights in fp16.

    The ranges of their inputs are those that ``inputs [B, *shape]`` lead to. Weights that the graph computes from
    others, such as gridnet's bands, are quantized where they are used: a runtime folds their computation, and the file
    holds their source. Raises ExportError for a graph without products, or that onnxruntime cannot quantize.
    """
    if not any(node.op_type in _PRODUCTS for node in model.graph.node):
        raise ExportError(f"int8: found no {', '.join(_PRODUCTS)} in the graph to quantize; use fp16")
    source = onnx.ModelProto()  # a copy, because the quantizer moves the weights of what it is given
    source.CopyFrom(model)
    with tempfile.TemporaryDirectory() as folder, quiet():
        out = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                source,
                out,
                _Samples(inputs),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(_PRODUCTS),
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
        except Exception as error:  # whatever the quantizer's own code or a session raises
            check_stopped()
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ExportError(f"onnxruntime cannot quantize the graph to int8: {reason[:300]}") from error
        quantized = onnx.load(out)
    del quantized.metadata_props[:]
    quantized.metadata_props.extend(model.metadata_props)
    quantized.doc_string = model.doc_string
    return halve_weights(quantized)


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Hands calibration samples to the quantizer in batches."""

    def __init__(self, inputs: NDArray[np.float32]) -> None:
        self._batches: Iterator[NDArray[np.float32]] = iter(
            np.array_split(inputs, -(-len(inputs) // _CALIBRATION_BATCH))
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next batch, None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {ONNX_INPUT: batch}
