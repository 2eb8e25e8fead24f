"""Encoded images: their formats, their size, damage, and whatever a decoder raises."""

from __future__ import annotations

import io
import os
import random
import re
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from sdk import InputError, images
from sdk.images import FORMATS, PIXEL_LIMIT, decode_picture, read_picture
from tests.support.paths import ROOT

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "F")


def picture(mode: str = "RGB", width: int = 33, height: int = 20) -> Image.Image:
    generator = np.random.default_rng(0)
    if mode == "F":
        return Image.fromarray(generator.random((height, width), dtype=np.float32))
    if mode == "I;16":
        return Image.fromarray(generator.integers(0, 2**16, (height, width), dtype=np.uint16))
    pixels = Image.fromarray(generator.integers(0, 256, (height, width, 4), dtype=np.uint8))
    return pixels.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "HSV", "P", "1") else pixels.convert(mode)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def written(formats: tuple[str, ...] = FORMATS) -> Iterator[tuple[str, str, bytes]]:
    """Yield mode, format and content for all combinations that Pillow writes and, here, reads again."""
    for mode in MODES:
        for form in formats:
            try:
                content = encoded(picture(mode), form)
                Image.open(io.BytesIO(content)).load()
            except (OSError, KeyError, ValueError):  # Pillow 12 does not read its own TIFF of mode YCbCr
                continue
            yield mode, form, content


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG of width x height white pixels, mode L."""
    row = b"\0" + b"\xff" * width
    packer = zlib.compressobj(9)
    content = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def test_every_mode_in_every_format_that_pillow_writes_is_read() -> None:
    cases = list(written())
    assert len(cases) > 35
    for mode, form, content in cases:
        if (mode, form) == ("F", "PPM"):  # PFM holds values without a fixed range in Pillow
            continue
        for channels in (1, 3):
            found = decode_picture(content, channels)
            assert (found.mode, found.size) == ("L" if channels == 1 else "RGB", (33, 20)), (mode, form)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_images_are_turned_as_pillow_turns_them(form: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    content = encoded(picture(), form, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(np.asarray(decode_picture(content, 3)), expected)


def test_an_unknown_orientation_counts_as_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert decode_picture(encoded(picture(), "PNG", exif=exif), 3).size == (33, 20)


def test_a_sound_jpeg_with_odd_exif_tags_is_turned_and_read() -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory.tagtype[0x0128] = 5  # the unit of the resolution, usually SHORT, as RATIONAL
    directory[0x0112] = 6
    directory[0x0128] = TiffImagePlugin.IFDRational(Fraction(5, 2))
    content = encoded(picture(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + directory.tobytes(8))
    assert decode_picture(content, 3).size == (20, 33)


def test_the_format_is_told_from_the_content_and_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(InputError, match=r"page\.png' is not a readable image; allowed formats: PNG, JPEG"):
        decode_picture(tmp_path / "page.png", 3)
    for form in ("TGA", "ICO", "PCX", "SGI", "EPS"):
        content = encoded(picture(), form)
        with pytest.raises(InputError, match="not a readable image"):
            decode_picture(content, 3)
    assert decode_picture(picture(), 3).size == (33, 20)  # a PIL image is the caller's choice


def test_postscript_starts_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "started"
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for content in (encoded(picture(), "EPS"), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        with pytest.raises(InputError, match="not a readable image"):
            decode_picture(content, 3)
    assert not marker.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the memory from /proc")
@pytest.mark.parametrize(("width", "height"), [(2_000_000, 1), (1, 2_000_000), (300_000, 3), (8000, 8000)])
@pytest.mark.parametrize("resize", [None, 256, images.RESIZE_LIMIT])
def test_a_small_file_of_extreme_proportions_costs_little_memory(width: int, height: int, resize: int | None) -> None:
    program = (
        "import sys; from sdk.images import read_picture; content = sys.stdin.buffer.read()\n"
        f"found = read_picture(content, (3, 224, 224), {resize}); assert found.shape == (3, 224, 224)\n"
        "assert found.min() == found.max() == 255; print(open('/proc/self/status').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=bomb(width, height),
        capture_output=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    peak = re.search(rb"VmHWM:\s+(\d+) kB", done.stdout)
    assert peak is not None
    assert int(peak[1]) < 600 * 1024


@pytest.mark.filterwarnings("ignore:Image size")
def test_more_pixels_than_the_limit_are_refused_before_decoding() -> None:
    content = bytearray(bomb(8, 8))
    side = 12_000
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    assert side * side > PIXEL_LIMIT
    with pytest.raises(InputError, match=r"12,000 x 12,000 pixels, allowed are at most 134,217,728 in all"):
        decode_picture(bytes(content), 3)


def test_a_resize_beyond_the_limit_is_refused() -> None:
    with pytest.raises(InputError, match="input resize 65537: allowed are at most 65,536 pixels"):
        read_picture(picture(), (3, 8, 8), 65537)


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="0 x 5 pixels"):
        read_picture(Image.new("L", (0, 5)), (1, 8, 8), None)


@pytest.mark.parametrize("size", [(33, 20), (5, 600), (700, 3), (64, 64), (1, 1)])
@pytest.mark.parametrize("resize", [None, 24, 300])
def test_the_part_of_a_resized_image_equals_that_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], resize: int | None
) -> None:
    image = picture("RGB", *size)
    whole = read_picture(image, (3, 16, 24), resize).astype(int)
    monkeypatch.setattr(images, "_RESIZED_LIMIT", 0)
    part = read_picture(image, (3, 16, 24), resize).astype(int)
    assert np.abs(whole - part).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "F", "P"])
def test_conversion_in_bands_equals_conversion_at_once(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    image = picture(mode)
    if mode == "P":
        image.info["transparency"] = 3
    whole = np.asarray(decode_picture(image, 3))
    monkeypatch.setattr(images, "_BAND", 70)
    np.testing.assert_array_equal(np.asarray(decode_picture(image, 3)), whole)


@pytest.mark.parametrize(
    "error",
    [KeyError("tag"), IndexError("x"), TypeError("x"), struct.error("x"), ZeroDivisionError(), RecursionError(),
     AttributeError("x"), AssertionError(), OverflowError("x"), NotImplementedError(), EOFError(), StopIteration()],
)  # fmt: skip
def test_whatever_a_decoder_raises_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    picture().save(tmp_path / "a.png")

    def fail(self: ImageFile.ImageFile) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(InputError, match=r"cannot read '.*a\.png' as an image: \S") as info:
        decode_picture(tmp_path / "a.png", 3)
    assert "\n" not in str(info.value)


def test_lack_of_memory_is_said_and_an_interrupt_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture().save(tmp_path / "a.png")

    def fail_with(error: BaseException) -> None:
        def fail(self: ImageFile.ImageFile) -> None:
            raise error

        monkeypatch.setattr(ImageFile.ImageFile, "load", fail)

    fail_with(MemoryError())
    with pytest.raises(InputError, match=r"a\.png' as an image: there is not enough memory"):
        decode_picture(tmp_path / "a.png", 3)
    for interrupt in (KeyboardInterrupt(), SystemExit(3)):
        fail_with(interrupt)
        with pytest.raises(type(interrupt)):
            decode_picture(tmp_path / "a.png", 3)


def mutate(content: bytes, rng: random.Random, first: int, last: int) -> bytes:
    """Change 1 to 6 bytes between two offsets; sometimes cut the end off."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        changed[rng.randrange(first, min(last, len(changed)))] = rng.choice(
            (0, 1, 2, 5, 7, 127, 255, rng.randrange(256))
        )
    return bytes(changed[: rng.randrange(first, len(changed))] if rng.random() < 0.1 else changed)


def fuzz(rounds: int, seed: int) -> None:
    """Read mutated files of every format, and JPEG files with mutated EXIF data; only InputError may come out."""
    rng = random.Random(seed)
    exif = Image.Exif()
    exif[0x0112], exif[0x0128], exif[0x011A] = 6, 2, 72.0
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    exif.get_ifd(0x8825)[2] = (1.0, 2.0, 3.0)
    files = [content for _, _, content in written()]
    tagged = [encoded(picture(), form, exif=exif) for form in ("JPEG", "PNG", "TIFF", "WEBP")]
    for number in range(rounds):
        if number % 2:
            content = rng.choice(files)
            content = mutate(content, rng, 0, len(content))
        else:
            content = rng.choice(tagged)
            content = mutate(content, rng, 0, 300)
        try:
            found = read_picture(content, (3, 8, 8), None)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017  # most files fail, some are read
        else:
            assert found.shape == (3, 8, 8)


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_raise_only_input_errors() -> None:
    fuzz(1500, seed=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_many_mutated_files_raise_only_input_errors() -> None:
    fuzz(60_000, seed=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20
