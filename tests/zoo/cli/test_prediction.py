from __future__ import annotations

import json
from pathlib import Path

from tests.support.command import QUICK, run


def test_predict_shows_the_most_likely_labels_of_images(digit_files: list[tuple[str, str]]) -> None:
    result = run("predict", "gridnet-digits", "--top", "2", *(path for path, _ in digit_files))
    assert result.exit_code == 0
    lines = result.output.splitlines()
    right = sum(line.startswith(f"{path}: {label} (") for line, (path, label) in zip(lines, digit_files, strict=True))
    assert right >= 7
    assert all(line.count("%") == 2 for line in lines)


def test_eval_fails_if_the_recorded_accuracy_is_not_reproduced(tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert run("train", "gridnet-digits", *QUICK, "--out", str(out), "--run-dir", str(tmp_path / "r")).exit_code == 0
    config = json.loads((out / "config.json").read_text())
    config["metrics"]["test_correct"] += 1
    (out / "config.json").write_text(json.dumps(config))
    result = run("eval", str(out))
    assert result.exit_code == 1
    assert "DIFFERENT" in result.output
