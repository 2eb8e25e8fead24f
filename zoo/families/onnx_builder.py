"""A small builder of ONNX graphs: operators are called like functions, constants and weights are passed by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from sdk.artifact import ONNX_INPUT, ONNX_OUTPUT

OPSET = 18
IR_VERSION = 8
"""Old enough for onnxruntime 1.18 and later."""


class GraphBuilder:
    """Collects nodes and initializers. Every operator method returns the name of its output tensor."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of a standard operator with one output."""
        output = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def weight(self, name: str, tensor: Tensor) -> str:
        """Add a trained tensor under its name in the module's state; a name that exists is used again."""
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(tensor.detach().cpu().numpy(), name)
        return name

    def constant(self, value: ArrayLike, dtype: str = "int64") -> str:
        """Add a small array or number; equal constants are stored once."""
        array: NDArray[np.generic] = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self._initializers[name] = numpy_helper.from_array(array, name)
        return self._constants[key]

    def scalar(self, value: float) -> str:
        """Add a float32 number."""
        return self.constant(value, "float32")

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Reshape ``x``; one axis may be -1."""
        return self.op("Reshape", x, self.constant(list(shape)))

    def pad(self, x: str, before: Sequence[int], after: Sequence[int], value: float = 0.0) -> str:
        """Pad ``x`` with ``value``; ``before`` and ``after`` hold one count per axis."""
        return self.op("Pad", x, self.constant([*before, *after]), self.scalar(value))

    def slice(self, x: str, axis: int, start: int, stop: int) -> str:
        """Take ``x[..., start:stop, ...]`` along an axis; ``stop`` is a position, so 0 does not mean the end."""
        return self.op("Slice", x, *(self.constant([value]) for value in (start, stop, axis)))

    def transpose(self, x: str, order: Sequence[int]) -> str:
        """Permute the axes of ``x``."""
        return self.op("Transpose", x, perm=list(order))

    def mean(self, x: str, axes: Sequence[int]) -> str:
        """Average over axes, which are retained with length 1."""
        return self.op("ReduceMean", x, self.constant(list(axes)), keepdims=1)

    def sum(self, x: str, axes: Sequence[int]) -> str:
        """Sum over axes, which are retained with length 1."""
        return self.op("ReduceSum", x, self.constant(list(axes)), keepdims=1)

    def model(
        self,
        name: str,
        output: str,
        input_shape: Sequence[int],
        classes: int,
        others: Mapping[str, str] | None = None,
    ) -> onnx.ModelProto:
        """Build the classifier ``input [B, *input_shape]`` -> ``logits [B, classes]`` for any batch size B.

        ``others`` maps the names of further outputs of the same shape to tensors.
        """
        outputs = {ONNX_OUTPUT: output, **(others or {})}
        shapes = {output: (value, ("batch", classes)) for output, value in outputs.items()}
        return self.function(name, {ONNX_INPUT: ("batch", *input_shape)}, shapes)

    def function(
        self,
        name: str,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
    ) -> onnx.ModelProto:
        """Build a model of float32 tensors from the shapes of its inputs, and the tensors and shapes of its outputs.

        An axis that is named instead of numbered has any length.
        """
        for output, (value, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [output], name=output))
        shapes = {output: shape for output, (_, shape) in outputs.items()}
        graph = helper.make_graph(
            self._nodes, name, _values(inputs), _values(shapes), list(self._initializers.values())
        )
        return helper.make_model(
            graph,
            producer_name="cellzoo",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )


def _values(shapes: Mapping[str, Sequence[int | str]]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in shapes.items()]
