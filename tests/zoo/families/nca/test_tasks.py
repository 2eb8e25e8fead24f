"""Generated tasks."""

from __future__ import annotations

import torch

from zoo.families.nca.config import TasksConfig
from zoo.families.nca.tasks import draw_task, standardisation


def test_generated_tasks_are_within_bounds_and_standardised_by_their_support_set() -> None:
    config = TasksConfig(features=(2, 5), classes=(2, 4), examples=50, queries=20)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        task = draw_task(config, generator)
        assert 2 <= task.features <= 5
        assert 2 <= task.classes <= 4
        assert task.support.inputs.shape == (50, task.features)
        assert task.query.labels.shape == (20,)
        assert task.support.inputs.mean(0).abs().max() < 1e-4
        assert int(task.support.labels.max()) < task.classes


def test_a_constant_feature_is_centred_but_not_scaled() -> None:
    shift, scale = standardisation(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    assert shift.tolist() == [2, 7]
    assert scale.tolist() == [1, 1]
