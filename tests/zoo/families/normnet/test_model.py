"""The normnet classifier."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.normnet import VARIANTS, build
from zoo.data.task import Task
from zoo.families.normnet.config import NormnetConfig
from zoo.families.normnet.learner import NormnetLearner
from zoo.families.normnet.model import Normnet
from zoo.families.registry import get_family, load_hook


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_gives_finite_logits_and_gradients_for_every_parameter(options: dict[str, Any]) -> None:
    module = build(**options)
    result = NormnetLearner(module, module.config).training_step(torch.randn(5, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1]))
    result.loss.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("shape", [(9,), (2, 9), (1, 8, 8), (2, 6, 6, 6)])
def test_inputs_have_up_to_three_spatial_axes(shape: tuple[int, ...]) -> None:
    convolutions = [{"channels": 2, "pool": 2}] if len(shape) > 1 else []
    assert build(Task(shape, 4), convolutions=convolutions)(torch.randn(3, *shape)).shape == (3, 4)


def test_rows_of_an_image_are_a_sequence_whose_channels_are_pixels() -> None:
    module = build(Task((2, 5, 3), 4), convolutions=[{"channels": 3, "size": 2}], view="rows")
    images = torch.randn(2, 2, 5, 3)
    rows = torch.stack([images[:, channel, :, column] for channel in range(2) for column in range(3)], 1)
    assert torch.equal(module.seen(images), rows)
    assert module.convolutions[0].weight.shape == (3, 6, 2)
    torch.testing.assert_close(module(images)[:1], module(images[:1]))


def test_a_volume_has_the_channels_of_an_image_as_its_depth() -> None:
    module = build(Task((3, 5, 4), 4), convolutions=[{"channels": 2, "size": 3}], view="volume")
    assert module.convolutions[0].weight.shape == (2, 1, 3, 3, 3)
    assert module(torch.randn(2, 3, 5, 4)).shape == (2, 4)


def test_features_of_a_table_are_a_sequence() -> None:
    module = build(Task((7,), 4), convolutions=[{"channels": 2, "size": 3}], view="sequence")
    assert module.convolutions[0].weight.shape == (2, 1, 3)
    assert module(torch.randn(2, 7)).shape == (2, 4)


def test_only_the_plain_control_has_biases() -> None:
    assert not [name for name, _ in build().named_parameters() if "bias" in name]
    assert len([name for name, _ in build(layer="plain").named_parameters() if "bias" in name]) == 3


def test_hidden_layers_and_output_have_separate_scales() -> None:
    scales = [layer.settings.scale for layer in build(scale=7, hidden_scale=2).layers]
    assert scales == [2, 2, 7]


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (Task((4,), 3), {"convolutions": [{"channels": 2}]}, r"convolutions take inputs \[C, \*space\]"),
        (Task((1, 3, 3), 3), {"convolutions": [{"channels": 2}, {"channels": 2}]}, r"convolutions.1 leaves nothing"),
        (Task((4,), 3), {"convolutions": [{"channels": 2}], "view": "rows"}, r"view rows takes images \[C, H, W\]"),
        (Task((1, 8, 8), 3), {"convolutions": [{"channels": 2}], "view": "sequence"}, "view sequence takes features"),
    ],
)
def test_data_that_does_not_fit_is_refused(task: Task, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(task, **options)


def test_the_registry_resolves_the_config_and_the_module() -> None:
    family = get_family("normnet")
    assert family.config is NormnetConfig
    assert load_hook(family.build) is Normnet
