"""Images and rows in the browser are prepared bit for bit as the SDK prepares them."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import sdk
from sdk.catalog import bundled_models
from sdk.images import read_picture
from sdk.inputs import InputSpec
from tests.support.browser import SitePage

READ = """
const [{decodeImage, toRaw}, {parseInput}] = await Promise.all(["core/image.js", "core/inputs.js"].map(load));
const bytes = Uint8Array.from(atob(given.file), (character) => character.charCodeAt(0));
const spec = parseInput(given.input, {}, "test");
return Array.from(toRaw(await decodeImage(new Blob([bytes])), spec));
"""
PREPARE = """
const {parseInput, prepare} = await load("core/inputs.js");
const spec = parseInput(given.input, given.provenance, "test");
return given.raws.map((raw) => {
  const {tensor, inverted} = prepare(spec, given.float ? Float32Array.from(raw) : Uint8Array.from(raw), given.invert);
  return [Array.from(tensor), inverted];
});
"""
ENCODE = """
const {encodeRow, parseColumns} = await load("core/table.js");
return given.rows.map((row) => {
  try {
    return Array.from(encodeRow(parseColumns(given.columns, given.width, "test"), row));
  } catch (error) {
    return error.message;
  }
});
"""


def noise(mode: str, size: tuple[int, int], seed: int = 0) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands), np.uint8)
    return Image.fromarray(values[..., 0] if bands == 1 else values, mode)


def encode(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, **{"format": "PNG", **options})
    return file.getvalue()


def spec(shape: tuple[int, int, int], resize: int | None = None) -> InputSpec:
    return InputSpec("image", shape, (0.5,) * shape[0], (0.25,) * shape[0], resize)


def ink(mode: str = "RGBA", colour: tuple[int, ...] = (20, 10, 30, 200)) -> Image.Image:
    image = Image.new(mode, (90, 70), (0,) * len(colour))
    ImageDraw.Draw(image).line((10, 10, 70, 60), fill=colour, width=9)
    return image


def sixteen(channels: str) -> bytes:
    values = np.random.default_rng(3).integers(0, 65536, (40, 30), np.uint16)
    return encode(Image.fromarray(values)) if channels == "grey" else b""


FILES = {
    "grey": encode(noise("L", (61, 47))),
    "colour": encode(noise("RGB", (40, 90))),
    "black and white": encode(noise("L", (50, 31)).convert("1")),
    "palette": encode(noise("RGB", (45, 45)).quantize(17)),
    "16 bits": sixteen("grey"),
    "transparent": encode(noise("RGBA", (64, 40))),
    "transparent grey": encode(noise("LA", (33, 70))),
    "dark ink": encode(ink()),
    "light ink": encode(ink(colour=(230, 240, 220, 180))),
    "transparent palette": encode(noise("RGB", (45, 45)).quantize(9), transparency=3),
    "transparent colour": encode(noise("L", (45, 45)).convert("RGB"), transparency=(7, 7, 7)),
    "wide": encode(noise("L", (400, 9))),
    "tall": encode(noise("RGB", (7, 300))),
    "tiny": encode(noise("RGB", (2, 3))),
    "gif": encode(noise("L", (37, 41)), format="GIF"),
    "bmp": encode(noise("RGB", (37, 41)), format="BMP"),
    "several tiles": encode(noise("RGB", (2100, 5)), format="WEBP", lossless=True),
    "lossless webp": encode(noise("RGB", (37, 41)), format="WEBP", lossless=True),
}


def read(tab: SitePage, content: bytes, given: InputSpec) -> np.ndarray[Any, Any]:
    found = tab.call(READ, {"file": base64.b64encode(content).decode(), "input": given.to_json()})
    return np.array(found, np.uint8).reshape(given.shape)


def check_pixels(tab: SitePage, content: bytes, given: InputSpec) -> None:
    found, expected = read(tab, content, given).astype(int), read_picture(content, given.shape, given.resize)
    with Image.open(io.BytesIO(content)) as image:
        tall = image.height > image.width
    # The page resamples rows before columns. Pillow does so, too, except for some tall images since version 13, which
    # it takes the other way round and so rounds in another order.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1 if tall else 0)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 20, 44)], ids=str)
@pytest.mark.parametrize("name", FILES)
def test_image_files_give_the_pixels_of_the_sdk(tab: SitePage, name: str, shape: tuple[int, int, int]) -> None:
    check_pixels(tab, FILES[name], spec(shape))


def test_the_resize_rule_of_the_spec_is_applied_before_the_crop(tab: SitePage) -> None:
    for resize in (28, 40, 97):
        for name in ("colour", "grey"):
            check_pixels(tab, FILES[name], spec((3, 28, 28), resize))


def test_photographs_are_turned_upright_and_nearly_equal(tab: SitePage) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth = noise("RGB", (8, 6)).resize((320, 240), Image.Resampling.BICUBIC)
    content = encode(smooth, format="JPEG", quality=92, exif=exif)
    given = spec((3, 32, 32))
    gap = read(tab, content, given).astype(int) - read_picture(content, given.shape, None)
    assert np.abs(gap).max() <= 2  # decoders of JPEG may round differently


@pytest.mark.parametrize("options", [{"format": "PNG"}, {"format": "WEBP", "lossless": True}], ids=str)
def test_pngs_and_webps_are_turned_upright_though_browsers_may_not_do_so(
    tab: SitePage, options: dict[str, Any]
) -> None:
    picture = noise("RGBA" if options["format"] == "PNG" else "RGB", (40, 30))
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        check_pixels(tab, encode(picture, **options, exif=exif), spec((3, 20, 20)))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def grey_png(size: tuple[int, int], depth: int, rows: bytes, *chunks: bytes, interlaced: bool = False) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, 0, 0, 0, interlaced))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_transparent_grey_of_few_bits_is_that_of_pillow(tab: SitePage, depth: int) -> None:
    rows = np.random.default_rng(depth).integers(0, 256, (16, 1 + 2 * depth), np.uint8)
    rows[:, 0] = 0  # no filter
    for clear in (0, 2**depth - 1):
        content = grey_png((16, 16), depth, rows.tobytes(), chunk(b"tRNS", struct.pack(">H", clear)))
        check_pixels(tab, content, spec((1, 16, 16)))


def test_interlaced_pngs_are_read(tab: SitePage) -> None:
    # Pillow writes none, so the seven passes are made here, without filters.
    pixels = np.random.default_rng(1).integers(0, 256, (13, 11), np.uint8)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join(
        b"\0" + line.tobytes() for x, y, dx, dy in passes if pixels[y::dy, x::dx].size for line in pixels[y::dy, x::dx]
    )
    content = grey_png((11, 13), 8, rows, interlaced=True)
    given = spec((1, 9, 9))
    np.testing.assert_array_equal(read(tab, content, given), read_picture(content, given.shape, None))


@pytest.mark.parametrize("content", [b"", b"not an image", FILES["grey"][:200], FILES["grey"][:30]])
def test_what_is_no_image_is_said_in_a_sentence(tab: SitePage, content: bytes) -> None:
    body = f"try {{ {READ} }} catch (error) {{ return [error.constructor.name, error.message]; }}"
    given = {"file": base64.b64encode(content).decode(), "input": spec((1, 8, 8)).to_json()}
    kind, message = tab.call(body, given)
    assert kind == "UserError"
    assert message.endswith(".")


@pytest.mark.filterwarnings("ignore:inverted")
@pytest.mark.parametrize("name", ["gridnet-mnist", "gridnet-digits", "normnet-fashion-conv", "gridnet-cifar10"])
@pytest.mark.parametrize("invert", [True, False])
def test_images_of_the_opposite_polarity_are_inverted_as_by_the_sdk(tab: SitePage, name: str, invert: bool) -> None:
    model = sdk.load(str(bundled_models()[name]), backend="onnx")
    config = json.loads((bundled_models()[name] / "config.json").read_text())
    c, h, w = model.input_spec.shape
    paper = np.random.default_rng(0).integers(190, 215, (c, h, w)).astype(np.uint8)
    paper[:, h // 4 : -h // 4, w // 2] = 25
    raws = np.stack([paper, 255 - paper, np.zeros_like(paper), np.full_like(paper, 255), paper // 2 + 60])
    for float_values in (False, True):
        given_raws = (raws / np.float32(255)).astype(np.float32) if float_values else raws
        expected, _ = model._prepare_all(given_raws, "auto" if invert else False)
        found = tab.call(
            PREPARE,
            {
                "input": config["input"], "provenance": config["provenance"], "float": float_values,
                "raws": [raw.ravel().tolist() for raw in given_raws], "invert": invert,
            },
        )  # fmt: skip
        tensors = np.array([tensor for tensor, _ in found], np.float32).reshape(expected.shape)
        np.testing.assert_allclose(tensors, expected, rtol=0, atol=0 if not float_values else 1e-6)
        assert found[0][1] is (invert and model.polarity == "light on dark")


def test_rows_are_encoded_by_the_columns_of_the_model(tab: SitePage) -> None:
    columns = [
        {"name": "age", "kind": "number", "fill": 38.25},
        {"name": "colour", "kind": "category", "categories": ["blue", "red"]},
        {"name": "member", "kind": "category", "categories": ["false", "true"], "fill": "false"},
    ]
    rows = [["36", "red", "TRUE"], [" 1e2 ", "blue", ""], ["", " red ", "false"], ["x", "red", "true"],
            ["1,5", "red", "true"], ["1", "green", "true"], ["1", "", "true"]]  # fmt: skip
    found = tab.call(ENCODE, {"rows": rows, "columns": columns, "width": 5})
    body = """const {decodeRow} = await load("core/table.js");
    return given.rows.map((row) => decodeRow(given.columns, Float32Array.from(row)));"""
    shown = tab.call(
        body, {"columns": columns, "rows": [[1e-9, 0, 1, 1, 0], [0.1, 1, 0, 0, 1], [16777217, 1, 0, 0, 1]]}
    )
    assert shown == [["1e-9", "red", "false"], ["0.1", "blue", "true"], ["16777216", "blue", "true"]]
    assert found[:3] == [[36, 0, 1, 0, 1], [100, 1, 0, 1, 0], [38.25, 0, 1, 1, 0]]
    assert found[3] == "age: found x, allowed a finite number with a decimal point."
    assert found[4].startswith("age: found 1,5")
    assert found[5] == "colour: unknown category green, allowed blue, red."
    assert found[6] == "colour: found no value."


def test_the_hash_without_a_secure_context_is_sha256(tab: SitePage) -> None:
    import hashlib

    texts = ["", "abc", "x" * 55, "x" * 56, "x" * 64, "y" * 1000]
    body = """const {plainSha256} = await load("core/sha256.js");
    return given.map((text) => plainSha256(new TextEncoder().encode(text)));"""
    assert tab.call(body, texts) == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
