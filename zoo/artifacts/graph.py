"""Export any module to an ONNX graph of standard operators; the families' own graphs are smaller and built faster."""

from __future__ import annotations

import contextlib
import io

import onnx
import torch
from onnx import helper
from torch import nn

import sdk
from sdk.artifact import ONNX_INPUT, ONNX_OUTPUT, ArtifactConfig
from sdk.backends.onnx import onnx_metadata
from zoo.artifacts.random_inputs import random_inputs
from zoo.families.onnx_builder import OPSET
from zoo.kernels import runtime
from zoo.utils.errors import ExportError
from zoo.utils.quiet import quiet


def export_graph(module: nn.Module, config: ArtifactConfig) -> onnx.ModelProto:
    """Return ``module`` (on the CPU, in eval mode) as a graph ``input [B, *shape]`` -> ``logits [B, classes]``.

    The kernels' references stand in for the compiled ops, which ONNX does not know. Raises ExportError for a module
    that torch cannot export, with torch's reason.
    """
    example = torch.from_numpy(config.input.prepare(random_inputs(config.input, 3))[0])
    try:
        # torch prints graphs that it cannot trace
        with runtime.using_reference(), torch.no_grad(), quiet(), contextlib.redirect_stderr(io.StringIO()):
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[ONNX_INPUT],
                output_names=[ONNX_OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    except Exception as error:  # whatever the module's own code or torch's tracing raises
        cause = error.__cause__ or error
        reason = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        raise ExportError(
            f"{type(module).__name__} cannot be exported to ONNX: {type(cause).__name__}: {reason}; its forward should "
            "be free of branches on values, and use x.shape[0] instead of len(x)"
        ) from error
    if program is None:
        raise ExportError(f"{type(module).__name__} cannot be exported to ONNX: torch returned no program")
    model = onnx.load_model_from_string(program.model_proto.SerializeToString())
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ExportError(
            f"{type(module).__name__} cannot be exported to ONNX for every batch size: its forward fixes the size of "
            "the batch; use x.shape[0] instead of len(x), and no int() of it"
        )
    model.doc_string = f"{config.name}, saved by cellzoo"
    helper.set_model_props(model, {**onnx_metadata(config), "cellzoo_version": sdk.__version__})
    return model
