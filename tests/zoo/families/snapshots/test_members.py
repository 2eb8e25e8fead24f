"""Export of single snapshots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner

from zoo.cli import cli
from zoo.training.result import TrainResult


@pytest.mark.parametrize(("member", "number"), [("coarse", 0), ("fine", -1), ("0", 0)])
def test_a_single_snapshot_can_be_exported(
    result: TrainResult, exported: Path, tmp_path: Path, member: str, number: int
) -> None:
    out = tmp_path / "one.onnx"
    done = CliRunner().invoke(cli, ["export", str(exported), "--member", member, "--out", str(out)])
    assert done.exit_code == 0, done.output
    session = onnxruntime.InferenceSession(out)
    assert [value.name for value in session.get_outputs()] == ["logits"]
    x = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    net = result.module
    wanted = net.member(number % len(net.snapshots), torch.from_numpy(x)).detach().numpy()  # type: ignore[operator]
    np.testing.assert_allclose(session.run(["logits"], {"input": x})[0], wanted, atol=1e-5)


def test_an_unknown_member_is_refused_and_the_members_are_listed(exported: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["export", str(exported), "--member", "huge", "--out", str(tmp_path / "x.onnx")])
    assert done.exit_code == 1
    assert "has no member 'huge'; allowed: coarse, fine, 0" in done.output
    done = CliRunner().invoke(cli, ["export", str(exported), "--member", "coarse"])
    assert done.exit_code == 2
    assert "give --out FILE for --member" in done.output
