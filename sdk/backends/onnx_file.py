"""Inspects an ONNX file before a runtime opens it, without the onnx package.

An ONNX model may store its weights in other files, under paths that its author chose; this module finds such
references. It parses protocol buffers' wire format and follows only those fields of onnx.proto that lead to them.

The runtime parses the same bytes again with another parser. Where parsers differ, as in bits beyond the width of a
number, a reference could be hidden from one of them. So only the canonical encoding is accepted, the one that
serialisers write and all parsers read alike.
"""

from __future__ import annotations

from collections.abc import Iterator

# For each kind of message, the kind of message in each field by number. All other fields are skipped.
_NESTED: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of Tensor
_MAX_DEPTH = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_TAG_BITS, _LENGTH_BITS, _VALUE_BITS = 32, 31, 64
"""Widths that protocol buffers give to a field's tag, to the length of its content, and to a number in it."""


def has_external_data(model: bytes) -> bool:
    """Return True if any tensor's data is in another file.

    Raises ValueError unless ``model`` is a protocol buffer in its canonical encoding.
    """
    return _external(memoryview(model), "Model", 0)


def _external(message: memoryview, kind: str, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        raise ValueError(f"messages are nested more than {_MAX_DEPTH} deep")
    found = False  # the rest is parsed even so, because a file that is not canonical has no meaning
    for field, value in _fields(message):
        if kind == "Tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0)):
            found = True
        nested = _NESTED[kind].get(field)
        if nested is None:
            continue
        if not isinstance(value, memoryview):
            raise ValueError(f"field {field} of {kind} is a number, not a message")
        found = _external(value, nested, depth + 1) or found
    return found


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number of each field of a message, with its value (a varint) or content."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position, _TAG_BITS)
        field, wire = key >> 3, key & 7
        if field == 0:
            raise ValueError("a field has the number 0")
        if wire == _VARINT:
            value, position = _varint(message, position, _VALUE_BITS)
            yield field, value
            continue
        if wire == _BYTES:
            size, position = _varint(message, position, _LENGTH_BITS)
        elif wire in _FIXED_SIZES:
            size = _FIXED_SIZES[wire]
        else:
            raise ValueError(f"unknown wire type {wire}")
        if position + size > len(message):
            raise ValueError("a field is longer than its message")
        yield field, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int, bits: int) -> tuple[int, int]:
    """Return the number at ``position``, in its shortest form and of at most ``bits`` bits, and the position after."""
    value = 0
    for shift in range(0, bits, 7):
        if position >= len(message):
            raise ValueError("the file ends inside a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << bits:
                break
            if byte == 0 and shift:
                raise ValueError(f"the number {value} is not written in its shortest form")
            return value, position
    raise ValueError(f"a number is longer than {bits} bits")
