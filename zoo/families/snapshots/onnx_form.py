"""The network as ONNX: every snapshot an output of its own, ``logits`` the weighted ensemble of them.

The file holds indices and values of the edges; the matrices are made of them by operators on constants, which
onnxruntime folds when it loads the file.
"""

from __future__ import annotations

import onnx
from torch import Tensor

from sdk.artifact import ONNX_INPUT
from zoo.families.base import Task
from zoo.families.onnx_graph import GraphBuilder
from zoo.families.snapshots.network import Incoming, Member, SnapshotNet, Wiring

_OPERATORS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu"}


def onnx_graph(module: SnapshotNet | Member, task: Task) -> onnx.ModelProto:
    """``input [B, *input_shape]`` -> ``logits`` and, for a network, ``snapshot_0``, ... ``[B, classes]`` each."""
    graph = GraphBuilder()
    if isinstance(module, Member):
        logits = _Network(graph, module.net, module.number).logits
        return graph.model("snapshots", logits, task.input_shape, task.num_classes)
    members = [_Network(graph, module, number).logits for number in range(len(module.snapshots))]
    outputs = {f"snapshot_{number}": logits for number, logits in enumerate(members)}
    weighted = _mixture(graph, members, module.mixture) if module.has_ensemble else _Network(graph, module, None).logits
    return graph.model("snapshots", weighted, task.input_shape, task.num_classes, outputs)


def _mixture(graph: GraphBuilder, members: list[str], mixture: Tensor) -> str:
    """The logarithm of the weighted mean of the members' probabilities."""
    shares = [
        graph.op("Add", graph.op("LogSoftmax", member, axis=-1), graph.scalar(float(weight.log())))
        for member, weight in zip(members, mixture, strict=False)
        if weight > 0
    ]
    stacked = graph.op("Concat", *(graph.op("Unsqueeze", share, graph.constant([0])) for share in shares), axis=0)
    return graph.op("ReduceLogSumExp", stacked, graph.constant([0]), keepdims=0)


class _Network:
    """The nodes of one snapshot, or of the network as it is now (None)."""

    def __init__(self, graph: GraphBuilder, net: SnapshotNet, number: int | None) -> None:
        self.graph = graph
        self.net = net
        self.name = "now" if number is None else f"snapshot_{number}"
        self.weight, self.bias, edges = net.values_of(number)
        self.logits = self._sweeps(net.wiring(edges))

    def _sweeps(self, wiring: Wiring) -> str:
        graph, output = self.graph, self.net.layout.output
        act = _OPERATORS[self.net.config.activation]
        matrices = [self._matrix(f"forward_{i + 1}", incoming) for i, incoming in enumerate(wiring.forward)]
        behind = [None if b is None else self._matrix(f"back_{i + 1}", b) for i, b in enumerate(wiring.back)]
        biases = self.net.layout.biases(self.bias)
        previous: list[str] = []
        for _ in range(self.net.config.sweeps if wiring.recurrent else 1):
            layers = [graph.op("Flatten", ONNX_INPUT, axis=1)]
            for number in range(1, output + 1):
                bias = graph.weight(f"{self.name}.bias_{number}", biases[number - 1])
                before = layers[0] if number == 1 else graph.op("Concat", *layers, axis=1)
                received = graph.op("Gemm", before, matrices[number - 1], bias, transB=1)
                matrix = behind[number - 1]
                if previous and matrix is not None:
                    sources = [*previous[number + 1 : output], graph.op(act, previous[output])]
                    received = graph.op("Gemm", graph.op("Concat", *sources, axis=1), matrix, received, transB=1)
                layers.append(received if number == output else graph.op(act, received))
            previous = layers
        return previous[-1]

    def _matrix(self, name: str, incoming: Incoming) -> str:
        """The dense ``[units, sources]`` of sparse entries."""
        graph, structure = self.graph, incoming.structure
        values = graph.weight(f"{self.name}.{name}", self.weight[incoming.slots])
        size = structure.outputs * structure.inputs
        index = graph.constant(structure.flat.cpu().numpy(), "int32" if size < 2**31 else "int64")
        empty = graph.op("ConstantOfShape", graph.constant([size]))
        filled = graph.op("ScatterElements", empty, index, values, axis=0)
        return graph.reshape(filled, [structure.outputs, structure.inputs])
