"""The ONNX graph of a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

import sdk
from tests.support.snapshots import IMAGES, SPEC, export, prepared
from zoo.data.task import Task
from zoo.families.snapshots.config import SnapshotsConfig
from zoo.families.snapshots.model import SnapshotNet
from zoo.families.snapshots.onnx import onnx_graph


def test_edges_that_lead_back_are_exported(tmp_path: Path) -> None:
    path, net = export(tmp_path, activation="relu", sweeps=3)
    assert net.wiring(int(net.edges)).recurrent
    for backend in ("onnx", "torch"):
        loaded = sdk.load(path, backend=backend)
        np.testing.assert_allclose(loaded.logits(IMAGES), net(prepared()).detach().numpy(), atol=1e-5)


def test_a_network_without_an_ensemble_is_exported_in_its_current_state(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = SnapshotNet(SnapshotsConfig(hidden=(5, 4), max_density=0.9), Task(SPEC.shape, 3)).eval()
    session = onnxruntime.InferenceSession(onnx_graph(net, Task(SPEC.shape, 3)).SerializeToString())
    found = session.run(["logits"], {"input": prepared().numpy()})[0]
    np.testing.assert_allclose(found, net(prepared()).detach().numpy(), atol=1e-6)
