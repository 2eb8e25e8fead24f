"""``zoo push`` refuses an artifact that its users could not load, before it sends anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sdk.artifact import read_config
from tests.support.hub_server import HubServer
from zoo.artifacts.seal import seal


def test_a_damaged_artifact_is_refused_before_anything_is_sent(hub: HubServer, fails: Any, tiny: Path) -> None:
    content = bytearray((tiny / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tiny / "model.safetensors").write_bytes(content)
    assert "model.safetensors was altered or damaged" in fails()
    assert hub.log == []


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (None, "config.json lists no 'README.md'"),
        ("# tiny\n", "README.md does not begin with metadata for the Hub; `zoo card` renders the model card again"),
        ("---\nlicense: [mit\n---\n", "README.md is not a model card: while parsing"),
        ("---\n- mit\n---\n", "README.md is not a model card"),
        ("---\nmodel-index: 3\n---\n", "README.md is not a model card"),
    ],
)
def test_a_card_that_the_hub_cannot_read_is_refused(
    hub: HubServer, fails: Any, tiny: Path, card: str | None, message: str
) -> None:
    (tiny / "README.md").unlink()
    if card is not None:
        (tiny / "README.md").write_text(card)
    seal(tiny, read_config(tiny))
    assert message in fails()
    assert hub.log == []


def test_an_edited_card_is_refused_with_the_command_that_seals_it(hub: HubServer, fails: Any, tiny: Path) -> None:
    (tiny / "README.md").write_text((tiny / "README.md").read_text() + "more")
    message = fails()
    assert "README.md was altered" in message
    assert "`zoo card` renders the model card again and preserves its notes" in message


def test_weights_and_onnx_that_differ_are_refused(hub: HubServer, fails: Any, tiny: Path) -> None:
    model = onnx.load(tiny / "model.onnx")
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "readout.weight")
    changed = numpy_helper.to_array(weights).copy()
    changed[0] += np.arange(changed.shape[1], dtype=np.float32)
    weights.CopyFrom(numpy_helper.from_array(changed, weights.name))
    onnx.save(model, tiny / "model.onnx")
    seal(tiny, read_config(tiny))
    assert "ONNX and torch differ by" in fails()
    assert hub.log == []


def test_a_model_without_weights_is_refused(hub: HubServer, fails: Any, tiny: Path) -> None:
    (tiny / "model.safetensors").unlink()
    seal(tiny, read_config(tiny))
    assert "model.safetensors" in fails()
    assert hub.log == []
