from __future__ import annotations

import onnx
import pytest

from sdk.backends.onnx_file import has_external_data


def test_references_to_other_files_are_found_in_every_part_of_a_graph() -> None:
    outside = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    constant = onnx.helper.make_node("Constant", [], ["c"])
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(outside)
    body = onnx.helper.make_graph([constant], "body", [], [])
    branch = onnx.helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)
    sparse = onnx.SparseTensorProto(values=outside)
    graphs = [
        onnx.helper.make_graph([], "g", [], [], initializer=[outside]),
        onnx.helper.make_graph([], "g", [], [], sparse_initializer=[sparse]),
        onnx.helper.make_graph([constant], "g", [], []),
        onnx.helper.make_graph([branch], "g", [], []),
    ]
    models = [onnx.helper.make_model(graph) for graph in graphs]
    function = onnx.helper.make_function("d", "f", [], ["c"], [constant], [])
    models.append(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []), functions=[function]))
    assert all(has_external_data(model.SerializeToString()) for model in models)
    assert not has_external_data(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])).SerializeToString())


@pytest.mark.parametrize("content", [b"not a model", b"\x3a\xff\x01", b"\x0f" * 9, b"\x08" + b"\xff" * 20])
def test_bytes_that_are_not_a_protocol_buffer_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"wire type|longer than|ends inside"):
        has_external_data(content)
