from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
import pytest

from sdk.backends.onnx_file import _NESTED, has_external_data


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
    with pytest.raises(ValueError, match=r"wire type|longer than|ends inside|shortest"):
        has_external_data(content)


def message(field: int, content: bytes) -> bytes:
    """Encode a field that holds bytes."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int, width: int = 1) -> bytes:
    """Encode a number in at least ``width`` bytes."""
    parts: list[int] = []
    while value >= 0x80 or len(parts) < width - 1:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def wrapped(tensor: bytes) -> bytes:
    """Encode a model whose graph has one initializer."""
    return message(7, message(5, tensor))


OUTSIDE = message(13, message(1, b"location") + message(2, b".env"))
HIGH = 1 << 32
HIDDEN = {
    "tag bits that protobuf drops": varint(13 << 3 | 2 | HIGH, 5) + varint(len(OUTSIDE) - 2) + OUTSIDE[2:],
    "tag bits that protobuf drops, location": varint(14 << 3 | HIGH, 5) + b"\x01",
    "a tag with needless bytes": varint(13 << 3 | 2, 3) + OUTSIDE[1:],
    "a tag of six bytes": varint(13 << 3 | 2, 6) + OUTSIDE[1:],
    "a length with needless bytes": varint(13 << 3 | 2) + varint(len(OUTSIDE) - 2, 4) + OUTSIDE[2:],
    "a length beyond 31 bits": varint(13 << 3 | 2) + varint(HIGH + len(OUTSIDE) - 2) + OUTSIDE[2:],
    "a group": varint(99 << 3 | 3) + OUTSIDE + varint(99 << 3 | 4),
    "an end of a group": varint(99 << 3 | 4) + OUTSIDE,
    "field 0": b"\x02\x01a" + OUTSIDE,
    "wire type 6": b"\x0e" + OUTSIDE,
    "a number with needless bytes": varint(14 << 3) + b"\x81\x80\x00",
    "a number beyond 64 bits": varint(14 << 3) + b"\xff" * 9 + b"\x03",
    "a length that runs on": varint(8 << 3 | 2) + varint(len(OUTSIDE) + 1) + OUTSIDE,
}


@pytest.mark.parametrize("tensor", HIDDEN.values(), ids=HIDDEN.keys())
def test_references_hidden_by_an_unusual_encoding_are_refused_everywhere(tensor: bytes) -> None:
    graph = message(5, tensor)
    places = [
        message(7, graph),
        message(7, b"") + message(7, graph),  # protobuf merges the two
        message(7, message(1, message(5, message(5, tensor)))),
        message(7, message(1, message(5, message(6, graph)))),
        message(7, message(15, message(1, tensor))),
        message(20, message(2, graph)),
        message(25, message(7, message(5, message(10, tensor)))),
    ]
    for content in places:
        with pytest.raises(ValueError, match=r"\w"):
            has_external_data(content)


def test_a_second_graph_or_tensor_field_hides_nothing() -> None:
    assert has_external_data(wrapped(b"") + wrapped(OUTSIDE))
    assert has_external_data(wrapped(OUTSIDE) + wrapped(b""))
    assert has_external_data(wrapped(varint(14 << 3) + b"\x00" + varint(14 << 3) + b"\x01"))
    assert has_external_data(wrapped(varint(14 << 3) + b"\x01" + varint(14 << 3) + b"\x00"))
    assert not has_external_data(wrapped(varint(14 << 3) + b"\x00"))
    assert not has_external_data(wrapped(varint(7 << 3) + varint(2**64 - 1)))  # an int64 of -1


def test_a_message_written_as_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="field 7 of Model is a number, not a message"):
        has_external_data(varint(7 << 3) + b"\x01")


def descriptors(start: Any, found: dict[str, Any]) -> dict[str, Any]:
    if start.name not in found:
        found[start.name] = start
        for field in start.fields:
            if field.message_type is not None:
                descriptors(field.message_type, found)
    return found


def leads_to_tensor(start: Any) -> bool:
    return "TensorProto" in descriptors(start, {})


def test_every_field_of_the_installed_onnx_that_leads_to_a_tensor_is_followed() -> None:
    short = {
        "ModelProto": "Model", "TrainingInfoProto": "Training", "FunctionProto": "Function", "GraphProto": "Graph",
        "NodeProto": "Node", "AttributeProto": "Attribute", "SparseTensorProto": "SparseTensor",
        "TensorProto": "Tensor",
    }  # fmt: skip

    def nested(start: Any) -> Iterator[tuple[int, str]]:
        for field in start.fields:
            if field.message_type is not None and leads_to_tensor(field.message_type):
                yield field.number, short[field.message_type.name]

    known = descriptors(onnx.ModelProto.DESCRIPTOR, {})
    assert {name: dict(nested(known[full])) for full, name in short.items()} == _NESTED
