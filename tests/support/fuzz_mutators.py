"""Mutations of files that know the format, beside blind ones of bytes and text."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable
from typing import Any

HOSTILE_TEXTS = (
    "", " ", "../../escape", "/etc/passwd", "\x1b[31mred", "\u202e", "<script>", "{{ 7 * 7 }}", "%s%n", "a" * 5000,
    "\0", "nan", "1e999", "-0", "None", "\ud800", "<!-- end: notes -->", "*a", "!!python/object:os.system", "~",
    "é" * 200,    "http://127.0.0.1:9/x", "[[[[", "|", "---", "`rm`", "=1+1", "true",
)  # fmt: skip
HOSTILE_NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 255, 256, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30,
    10**6,    0.0, -0.0, 0.5, 1e-320, 1e308, -1e308, 1e39, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
_VALUES: tuple[Callable[[random.Random], Any], ...] = (
    lambda chance: chance.choice(HOSTILE_TEXTS),
    lambda chance: chance.choice(HOSTILE_NUMBERS),
    lambda chance: chance.choice((None, True, False, [], {}, [[]], [{}], {"": None})),
    lambda chance: [chance.choice(HOSTILE_NUMBERS) for _ in range(chance.randrange(6))],
    lambda chance: {chance.choice(HOSTILE_TEXTS): hostile_value(chance)},
)


def hostile_value(chance: random.Random) -> Any:
    """Return a value that programs do not expect."""
    return chance.choice(_VALUES)(chance)


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """Flip bits, set, insert, remove, repeat and swap pieces."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        place = chance.randrange(len(found) + 1)
        piece = chance.choice((1, 1, 2, 4, 8, 64))
        kind = chance.randrange(7)
        if kind == 0 and place < len(found):
            found[place] ^= 1 << chance.randrange(8)
        elif kind == 1 and place < len(found):
            found[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif kind == 2:
            found[place:place] = chance.randbytes(piece)
        elif kind == 3:
            del found[place : place + piece]
        elif kind == 4:
            found[place:place] = found[place : place + piece] * chance.choice((1, 2, 50))
        elif kind == 5:
            number = chance.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**63, chance.randrange(2**16))) & (2**64 - 1)
            found[place : place + piece] = number.to_bytes(8, chance.choice(("little", "big")))[:piece]
        elif kind == 6 and chance.random() < 0.3:
            del found[place:]
    return bytes(found)


def mutate_text(text: str, chance: random.Random) -> str:
    """Change lines, words and characters."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        lines = text.split("\n")
        line = chance.randrange(len(lines))
        words = lines[line].split(" ")
        word = chance.randrange(len(words))
        kind = chance.randrange(8)
        if kind == 0:
            lines[line:line] = [lines[chance.randrange(len(lines))]] * chance.choice((1, 1, 20))
        elif kind == 1:
            del lines[line]
        elif kind == 2:
            lines[line] = " " * chance.choice((1, 2, 4)) + lines[line]
        elif kind == 3:
            words[word] = chance.choice((*HOSTILE_TEXTS, *map(str, HOSTILE_NUMBERS)))
        elif kind == 4:
            words[word] += chance.choice(
                (":", "{", "}", "[", "]", ",", "'", '"', "&a", "*a", "#", "\t", "\x1b", "|", ">-")
            )
        elif kind == 5:
            words[word] = chance.choice(("{", "[", "- ", "? ", "'")) * chance.choice((1, 5, 40, 2000))
        elif kind == 6:
            position = chance.randrange(len(lines[line]) + 1)
            lines[line] = lines[line][:position] + chance.choice(HOSTILE_TEXTS) + lines[line][position:]
        else:
            place = chance.randrange(len(text) + 1)
            text = text[:place] + text[place + chance.randrange(20) :]
            continue
        if kind in (3, 4, 5):
            lines[line] = " ".join(words)
        text = "\n".join(lines)
    return text


def mutate_tree(tree: Any, chance: random.Random) -> Any:
    """Change values, keys and lists anywhere in a copy of a tree of JSON values."""
    tree = json.loads(json.dumps(tree))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        node, key = _place(tree, chance)
        kind = chance.randrange(8)
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, dict):
            node[chance.choice((*HOSTILE_TEXTS, f"{key}x", *node))] = node.pop(key)
        elif kind == 2 and isinstance(node, dict):
            node[chance.choice(HOSTILE_TEXTS)] = hostile_value(chance)
        elif kind == 2:
            node.insert(key, hostile_value(chance))
        elif kind == 3 and isinstance(node[key], list):
            node[key] = node[key] * chance.choice((0, 2, 100))
        elif kind == 4:
            node[key] = [node[key]]
        elif kind == 5:
            other, place = _place(tree, chance)
            node[key] = json.loads(json.dumps(other[place]))
        elif kind == 6 and isinstance(node[key], (int, float)) and not isinstance(node[key], bool):
            node[key] = chance.choice((-node[key], node[key] + 1, node[key] * 2, node[key] * 1000, node[key] / 2))
        else:
            node[key] = hostile_value(chance)
        if not tree:
            return tree
    return tree


def _place(tree: Any, chance: random.Random) -> tuple[Any, Any]:
    """Return a list or dict below a tree that is not empty, and one of its keys."""
    while True:
        key = chance.choice(list(tree)) if isinstance(tree, dict) else chance.randrange(len(tree))
        below = tree[key]
        if not isinstance(below, (dict, list)) or not below or chance.random() < 0.3:
            return tree, key
        tree = below


def encode_tree(tree: Any, chance: random.Random) -> bytes:
    """Return a tree as JSON, now and then as text that is not quite JSON."""
    text = json.dumps(tree, ensure_ascii=chance.random() < 0.9)
    if chance.random() < 0.15:
        text = mutate_text(text, chance)
    if chance.random() < 0.02:
        deep = chance.choice((60, 70, 1000, 100_000))
        text = text.replace("null", "[" * deep + "]" * deep, 1)
    return text.encode(errors="surrogatepass")


def mutate_safetensors(data: bytes, chance: random.Random) -> bytes:
    """Change the header of a safetensors file, its length, or any bytes."""
    if chance.random() < 0.3:
        return mutate_bytes(data, chance)
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    new = encode_tree(mutate_tree(json.loads(header), chance), chance)
    if chance.random() < 0.1:
        body = mutate_bytes(body, chance)
    length = len(new) if chance.random() < 0.9 else chance.choice((0, 1, len(new) + 1, 2**31, 2**63, 2**64 - 1))
    return length.to_bytes(8, "little") + new + body


def mutate_png(data: bytes, chance: random.Random) -> bytes:
    """Change chunks of a PNG and give them their right checksums."""
    chunks, position = [], 8
    while position + 12 <= len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + size]))
        position += 12 + size
    number = chance.randrange(len(chunks))
    name, content = chunks[number]
    kind = chance.randrange(6)
    if kind == 0:
        chunks[number] = (name, mutate_bytes(content, chance))
    elif kind == 1:
        chunks.insert(number, (chance.choice((b"tRNS", b"PLTE", b"eXIf", b"acTL", b"fcTL", b"iCCP", b"gAMA", b"zTXt")),
                               mutate_bytes(chance.randbytes(chance.randrange(40)), chance)))  # fmt: skip
    elif kind == 2:
        del chunks[number]
    elif kind == 3:
        chunks.insert(chance.randrange(len(chunks)), chunks[number])
    elif kind == 4:  # a header of another size, depth and colour type
        sides = [chance.choice((0, 1, 8, 9, 300, 30_000, 2**31 - 1, 2**32 - 1)) for _ in range(2)]
        depth, colour = chance.choice((1, 2, 4, 8, 16, 3)), chance.choice((0, 2, 3, 4, 6, 5))
        sides = [side.to_bytes(4, "big") for side in sides]
        chunks[0] = (b"IHDR", b"".join(sides) + bytes([depth, colour, 0, 0, chance.randrange(3)]))
    else:
        number = next((n for n, (name, _) in enumerate(chunks) if name == b"IDAT"), 0)
        chunks[number] = (b"IDAT", zlib.compress(chance.randbytes(chance.choice((0, 10, 100_000)))))
    out = data[:8]
    for name, content in chunks:
        checksum = zlib.crc32(name + content) if chance.random() < 0.98 else chance.randrange(2**32)
        out += len(content).to_bytes(4, "big") + name + content + checksum.to_bytes(4, "big")
    return out


def mutate_protobuf(data: bytes, chance: random.Random, depth: int = 0) -> bytes:
    """Change a field of a protocol buffer at any depth; lengths around it stay right."""
    fields = _fields(data)
    if not fields or chance.random() < 0.05:
        return mutate_bytes(data, chance)
    number = chance.randrange(len(fields))
    tag, wire, content = fields[number]
    nested = wire == 2 and depth < 12 and len(content) > 1 and _fields(content) is not None
    kind = chance.randrange(9)
    if nested and kind < 6:
        fields[number] = (tag, wire, mutate_protobuf(content, chance, depth + 1))
    elif kind == 6:
        del fields[number]
    elif kind == 7:
        fields[number:number] = [fields[number]] * chance.choice((1, 1, 30))
    elif kind == 8:
        fields[number] = (chance.choice((1, 2, 5, 13, 14, 20, 100, 2**29 - 1)), wire, content)
    elif wire == 0:
        fields[number] = (tag, 0, _varint(chance.choice((0, 1, 2, 7, 16, 127, 2**31 - 1, 2**63 - 1, 2**64 - 1))))
    elif wire == 2 and chance.random() < 0.4:
        text = chance.choice(
            (*HOSTILE_TEXTS, "Loop", "If", "Add", "Gemm", "Reshape", "input", "logits", "Scan", "Expand")
        )
        fields[number] = (tag, 2, text.encode(errors="surrogatepass"))
    else:
        fields[number] = (tag, wire, mutate_bytes(content, chance))
    return b"".join(_field(*field) for field in fields)


def _fields(data: bytes) -> list[tuple[int, int, bytes]] | None:
    """Return number, wire type and content of each field, or None if the bytes are no message."""
    fields, position = [], 0
    while position < len(data):
        key, position = _read_varint(data, position)
        start, wire = position, key & 7
        if wire == 0:
            _, position = _read_varint(data, position)
        elif wire == 2:
            size, start = _read_varint(data, position)
            position = start + size
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        else:
            return None
        if position > len(data) or not key >> 3:
            return None
        fields.append((key >> 3, wire, data[start:position]))
    return fields


def _field(number: int, wire: int, content: bytes) -> bytes:
    size = _varint(len(content)) if wire == 2 else b""
    return _varint(number << 3 | wire) + size + content


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data):
        value |= (data[position] & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if data[position - 1] < 0x80:
            return value, position
    return value, len(data) + 1


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
