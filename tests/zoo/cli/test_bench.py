from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bench import run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kernels", "--isa", "sse9"], "instruction set 'sse9' cannot be used here; usable: "),
        (["kernels", "--grid", "8,8"], "found '8,8', expected three sizes M,N,K"),
        (["kernels", "--grid", "8,8,0"], "found '8,8,0', expected positive whole numbers separated by commas"),
        (["kernels", "--threads", "0"], "0 is not in the range"),
        (["train", "gridnet-mnits"], "unknown recipe 'gridnet-mnits' (did you mean gridnet-mnist"),
        (["train", "gridnet-digits", "-o", "train.lr=1"], "train.lr: unknown key"),
        (["predict", "no-such-model"], "no model named 'no-such-model'; `zoo list` shows all models"),
        (["predict", "gridnet-digits", "--batch", "1,x"], "found '1,x', expected positive whole numbers"),
    ],
)
def test_a_wrong_request_fails_with_a_clear_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments, "--out", str(tmp_path / "out"))
    assert result.exit_code != 0
    assert message in result.stderr
    assert "bug" not in result.stderr
    assert list(tmp_path.iterdir()) == []
