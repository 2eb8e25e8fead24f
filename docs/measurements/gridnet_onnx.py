"""Times forms of a gridnet's ONNX graph against each other, and prints a Markdown table.

``python docs/measurements/gridnet_onnx.py gridnet-mnist`` builds the forms from the model's weights. Further files are
measured beside them: ``earlier=old.onnx``, after ``git show REVISION:exports/gridnet-mnist/model.onnx > old.onnx``.
With ``--write FOLDER`` the files stay there, for a runtime that this script does not know, such as onnxruntime-web.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.transformers.float16 import convert_float_to_float16

import sdk
import zoo.families.gridnet.onnx as graph
from zoo.artifacts.quantization import halve_weights, quantize_products
from zoo.artifacts.random_inputs import random_inputs
from zoo.data.task import Task
from zoo.families.gridnet.model import Gridnet
from zoo.families.gridnet.onnx_bands import WeightedSums
from zoo.families.gridnet.onnx_groups import Groups

BATCHES = (1, 64)
BOXES = ((1, 1, 8), (1, 2, 8), (2, 2, 8), (2, 4, 8), (4, 4, 8), (2, 2, 4))


class GroupedConvolution(WeightedSums):
    """The same sums as a convolution of 1 x 1 pixels with one group of channels per box."""

    def apply(self, h: str, bands: str) -> str:
        """``[B, cells]``."""
        g, groups = self.g, self.groups
        rows = g.reshape(h, (-1, groups.cells // groups.box[2], groups.box[2]))
        gathered = g.op("Gather", rows, g.constant(groups.neighbours(), "int32"), axis=1)
        channels = g.reshape(gathered, (-1, groups.count * groups.inputs, 1, 1))
        weight = g.reshape(g.transpose(bands, (0, 2, 1)), (groups.count * groups.outputs, groups.inputs, 1, 1))
        return g.reshape(g.op("Conv", channels, weight, group=groups.count), (-1, groups.cells))


class RunsFirst(WeightedSums):
    """The same sums from a state whose runs come before the batch, so that Gather copies longer pieces."""

    def apply(self, h: str, bands: str) -> str:
        """``[B, cells]``."""
        g, groups, run = self.g, self.groups, self.groups.box[2]
        rows = g.transpose(g.reshape(h, (-1, groups.cells // run, run)), (1, 0, 2))
        indices = g.constant(groups.neighbours().reshape(groups.count, groups.runs), "int32")
        gathered = g.transpose(g.op("Gather", rows, indices, axis=0), (0, 2, 1, 3))
        sums = g.op("MatMul", g.reshape(gathered, (groups.count, -1, groups.inputs)), bands)
        return g.reshape(g.transpose(sums, (1, 0, 2)), (-1, groups.cells))


def forms(model: sdk.Model) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Yield the forms of a gridnet whose depth K is 8 cells, by name."""
    module, spec = model.module, model.input_spec
    assert isinstance(module, Gridnet)
    task = Task(spec.shape, len(model.labels))
    shipped = graph.onnx_graph(module, task)
    yield "shipped", shipped
    for box in BOXES:
        with _replaced("group_cells", lambda grid, channels, box=box: Groups(grid, (0, 1, 2), box)):
            yield f"box {' x '.join(map(str, box))}", graph.onnx_graph(module, task)
    for name, sums in (("grouped convolution", GroupedConvolution), ("runs before the batch", RunsFirst)):
        with _replaced("WeightedSums", sums):
            yield name, graph.onnx_graph(module, task)
    yield "weights in fp16", halve_weights(shipped)
    yield "products in int8", quantize_products(shipped, spec.prepare(random_inputs(spec, 64))[0])
    yield "everything in fp16", convert_float_to_float16(shipped, keep_io_types=True, disable_shape_infer=True)


@contextmanager
def _replaced(name: str, value: object) -> Iterator[None]:
    before = getattr(graph, name)
    setattr(graph, name, value)
    try:
        yield
    finally:
        setattr(graph, name, before)


def logits_of(path: Path, inputs: np.ndarray) -> np.ndarray:
    """Run a file once."""
    found: np.ndarray = onnxruntime.InferenceSession(path).run(["logits"], {"input": inputs})[0]
    return found


def measure(files: dict[str, Path], inputs: np.ndarray, threads: int, seconds: float) -> dict[str, list[float]]:
    """Return the milliseconds of calls, one of each file in turn, until ``seconds`` have passed.

    On one thread they are CPU time, in which other processes do not count.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    calls: dict[str, Callable[[], object]] = {}
    for name, path in files.items():
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        calls[name] = lambda session=session: session.run(["logits"], {"input": inputs})
        calls[name]()
    found: dict[str, list[float]] = {name: [] for name in files}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(found[next(iter(found))]) < 5:
        for name, call in calls.items():
            started = clock()
            call()
            found[name].append(1000 * (clock() - started))
    return found


def main() -> None:
    """Write the forms, time them and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("files", nargs="*", metavar="NAME=FILE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    model = sdk.load(given.model, backend="torch")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.write or Path(temporary)
        files = {name: Path(path) for name, path in (entry.split("=", 1) for entry in given.files)}
        for name, form in forms(model):
            files[name] = folder / f"{name.replace(' ', '-')}.onnx"
            files[name].write_bytes(form.SerializeToString())
        columns = {}
        for batch in BATCHES:
            inputs = model.input_spec.prepare(random_inputs(model.input_spec, batch))[0]
            columns[batch] = measure(files, inputs, given.threads, given.seconds)
        expected = logits_of(files["shipped"], inputs)
        print("| form | kB | batch 1: ms, median (least) | batch 64 | difference of logits |\n|---|---|---|---|---|")
        for name, path in files.items():
            times = [f"{statistics.median(found[name]):.2f} ({min(found[name]):.2f})" for found in columns.values()]
            gap = np.abs(logits_of(path, inputs) - expected).max()
            print(f"| {name} | {path.stat().st_size / 1000:.0f} | {' | '.join(times)} | {gap:.2g} |")


if __name__ == "__main__":
    main()
