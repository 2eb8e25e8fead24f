"""torch.export programs of trained models."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sdk
import zoo.artifacts.torch_program
from sdk.resolve import find_model
from tests.support.artifacts import SPEC
from tests.support.command import fails, runs
from tests.support.onnx_models import make
from zoo.artifacts.random_inputs import random_inputs
from zoo.artifacts.torch_program import pickled_parts, program_bytes


def _forbidden(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("something was unpickled")


@pytest.mark.parametrize("name", ["gridnet-digits", "cellnet-digits", "normnet-digits", "nca-iris"])
def test_a_program_is_loaded_without_unpickling_and_gives_the_logits_of_its_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model.pt2"
    assert f"torch: {out}" in runs("export", name, "--format", "torch", "--out", str(out))
    for module, function in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, function, _forbidden)
    program = torch.export.load(out).module()
    model = sdk.load(name, backend="onnx")
    for batch in (1, 5):
        raw = random_inputs(model.input_spec, batch)
        with torch.inference_mode():
            found = program(torch.from_numpy(model.input_spec.prepare(raw)[0])).numpy()
        np.testing.assert_allclose(found, model.logits(raw, invert=False), atol=1e-4)


def test_a_program_of_a_gridnet_calls_our_op_and_names_no_file_of_this_machine() -> None:
    module, _ = make(gated=True)
    content = program_bytes(module, SPEC)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        [graph] = [archive.read(path).decode() for path in archive.namelist() if path.endswith("models/model.json")]
        everything = b"".join(archive.read(path) for path in archive.namelist())
    assert set(re.findall(r"torch\.ops\.zoo\.\w+", graph)) == {"torch.ops.zoo.gridnet_evolve"}  # as onnx.md says
    assert str(Path(__file__).parents[3]).encode() not in everything
    assert b".py" not in everything


def test_parts_that_torch_would_unpickle_are_found() -> None:
    module, _ = make()
    program = torch.export.export(module, (torch.zeros(2, *SPEC.shape),))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    [examples] = pickled_parts(buffer.getvalue())
    assert examples.endswith("data/sample_inputs/model.pt")


def test_a_program_with_pickled_parts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo.artifacts.torch_program, "pickled_parts", lambda content: ["weight_3"])
    out = tmp_path / "model.pt2"
    line = fails(1, "export", "normnet-digits", "--format", "torch", "--out", str(out))
    assert "torch would pickle weight_3 of this module; export it to ONNX" in line
    assert not out.exists()


def test_a_module_that_cannot_be_traced_is_refused_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "model.pt2"
    line = fails(1, "export", "snapshots-digits", "--format", "torch", "--out", str(out))
    assert "cannot trace SnapshotNet: what it computes depends on the values of its tensors; export" in line
    assert line.rstrip().endswith("export it to ONNX")
    assert not out.exists()


def test_an_existing_file_is_replaced_on_request_only(tmp_path: Path) -> None:
    out = tmp_path / "model.pt2"
    out.write_text("mine")
    command = ("export", str(find_model("nca-iris")), "--format", "torch", "--out", str(out))
    assert f"{out} exists" in fails(1, *command)
    assert out.read_text() == "mine"
    runs(*command, "--overwrite")
    assert zipfile.is_zipfile(out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --out FILE for --format torch"),
        (["--out", "a.pt2", "--precision", "fp16"], "--format torch takes --out and --overwrite only"),
        (["--out", "a.pt2", "--preprocessing"], "--format torch takes --out and --overwrite only"),
    ],
)
def test_options_of_other_formats_are_refused(options: list[str], message: str) -> None:
    assert message in fails(2, "export", "nca-iris", "--format", "torch", *options)
