from __future__ import annotations

import subprocess
import sys

from zoo.training.result import Evaluation, SeedResult


def test_results_load_neither_torch_nor_the_training_loop() -> None:
    code = "import sys, zoo.training.result\nprint(*({'torch', 'accelerate', 'zoo.training.loop'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []


def test_an_evaluation_has_accuracy_and_interval() -> None:
    evaluation = Evaluation(correct=81, total=324, loss=1.0)
    assert evaluation.accuracy == 0.25
    low, high = evaluation.interval
    assert low < 0.25 < high
    assert SeedResult(seed=3, correct=81, total=324).accuracy == 0.25
