"""The network as an ONNX graph: an output per snapshot, and their weighted ensemble as ``logits``.

The file holds indices and values of the edges. Operators on constants turn them into matrices; onnxruntime folds these
operators when it loads the file.
"""

from __future__ import annotations

import onnx
from torch import Tensor

from sdk.artifact import ONNX_INPUT
from zoo.data.task import Task
from zoo.families.onnx_builder import GraphBuilder
from zoo.families.snapshots.members import Member
from zoo.families.snapshots.model import SnapshotNet
from zoo.families.snapshots.wiring import Incoming, Wiring

_OPERATORS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu"}


def onnx_graph(module: SnapshotNet | Member, task: Task) -> onnx.ModelProto:
    """Return the graph ``input [B, *input_shape]`` -> ``logits [B, classes]``.

    The graph of a whole network also has the outputs ``snapshot_0``, ``snapshot_1``, ..., each ``[B, classes]``.
    """
    graph = GraphBuilder()
    if isinstance(module, Member):
        logits = _Network(graph, module.net, module.number).logits
        return graph.model("snapshots", logits, task.input_shape, task.num_classes)
    members = [_Network(graph, module, number).logits for number in range(len(module.snapshots))]
    outputs = {f"snapshot_{number}": logits for number, logits in enumerate(members)}
    weighted = _mixture(graph, members, module.mixture) if module.has_ensemble else _Network(graph, module, None).logits
    return graph.model("snapshots", weighted, task.input_shape, task.num_classes, outputs)


def _mixture(graph: GraphBuilder, members: list[str], mixture: Tensor) -> str:
    """Return the logarithm of the weighted mean of the members' probabilities."""
    shares = [
        graph.op("Add", graph.op("LogSoftmax", member, axis=-1), graph.scalar(float(weight.log())))
        for member, weight in zip(members, mixture, strict=False)
        if weight > 0
    ]
    stacked = graph.op("Concat", *(graph.op("Unsqueeze", share, graph.constant([0])) for share in shares), axis=0)
    return graph.op("ReduceLogSumExp", stacked, graph.constant([0]), keepdims=0)


class _Network:
    """The nodes of one snapshot, or of the current network (None)."""

    def __init__(self, graph: GraphBuilder, net: SnapshotNet, number: int | None) -> None:
        self.graph = graph
        self.net = net
        self.name = "now" if number is None else f"snapshot_{number}"
        self.weight, self.bias, edges = net.values_of(number)
        self.logits = self._sweeps(net.wiring(edges))

    def _sweeps(self, wiring: Wiring) -> str:
        graph, output = self.graph, self.net.layout.output
        act = _OPERATORS[self.net.config.activation]
        biases = self.net.layout.biases(self.bias)
        layers: list[str] = []
        for _ in range(self.net.config.sweeps if wiring.recurrent else 1):
            previous = [*layers[:-1], graph.op(act, layers[-1])] if layers else None
            layers = [graph.op("Flatten", ONNX_INPUT, axis=1)]
            for number in range(1, output + 1):
                received = graph.weight(f"{self.name}.bias_{number}", biases[number - 1][None])
                for incoming in wiring.forward[number - 1]:
                    received = self._receive(incoming, layers, received, number)
                for incoming in wiring.back[number - 1] if previous else ():
                    received = self._receive(incoming, previous or [], received, number)
                layers.append(received if number == output else graph.op(act, received))
        return layers[-1]

    def _receive(self, incoming: Incoming, layers: list[str], received: str, number: int) -> str:
        """Add the sums that a layer receives over some edges to ``received``."""
        sources = [layers[source] for source in incoming.sources]
        x = sources[0] if len(sources) == 1 else self.graph.op("Concat", *sources, axis=1)
        matrix = self._matrix(f"weight_{incoming.sources.start}_{number}", incoming)
        return self.graph.op("Gemm", x, matrix, received, transB=1)

    def _matrix(self, name: str, incoming: Incoming) -> str:
        """Return the dense matrix ``[units, sources]`` of the edges."""
        graph, structure = self.graph, incoming.structure
        values = graph.weight(f"{self.name}.{name}", self.weight[incoming.slots])
        size = structure.outputs * structure.inputs
        index = graph.constant(structure.flat.cpu().numpy(), "int32" if size < 2**31 else "int64")
        empty = graph.op("ConstantOfShape", graph.constant([size]))
        filled = graph.op("ScatterElements", empty, index, values, axis=0)
        return graph.reshape(filled, [structure.outputs, structure.inputs])
