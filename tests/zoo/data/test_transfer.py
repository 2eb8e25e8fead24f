"""Data that stay on a device, and batches that are prepared one ahead, on the CPU."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import torch
from torch import Tensor

from sdk.inputs import InputSpec
from zoo.config.data import AugmentConfig, CropConfig
from zoo.data.sampling import evaluation_batches, training_batches
from zoo.data.split import ArraySplit
from zoo.data.transfer import one_ahead, send

CPU = torch.device("cpu")
EVERYTHING = AugmentConfig(crop=CropConfig(scale=(0.5, 1)), rotate=5, scale=0.1, shift=1, flip=True)


def split(config: AugmentConfig) -> ArraySplit:
    noise = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (50, 1, 9, 9), dtype=torch.uint8, generator=noise)
    spec = InputSpec(kind="image", shape=(1, 9, 9), mean=[0.4], std=[0.3])
    return ArraySplit(inputs, torch.arange(50) % 10, spec, config, 0)


def assert_equal(found: list[tuple[Tensor, Tensor]], wanted: list[tuple[Tensor, Tensor]]) -> None:
    assert len(found) == len(wanted) > 0
    for (x, labels), (expected, answers) in zip(found, wanted, strict=True):
        assert torch.equal(x, expected)
        assert torch.equal(labels, answers)


@pytest.mark.parametrize("config", [AugmentConfig(), EVERYTHING], ids=["plain", "augmented"])
def test_samples_that_stay_on_a_device_give_the_batches_of_the_loader(config: AugmentConfig) -> None:
    data = split(config)
    for batches in (lambda: training_batches(50, 16, 3, 0, 7), lambda: evaluation_batches(50, 16)):
        assert_equal(list(data.resident(batches(), CPU)), list(data.stream(batches(), CPU)))


def test_statistics_made_in_an_evaluation_serve_a_training() -> None:
    data = split(AugmentConfig())
    with torch.inference_mode():
        list(data.resident(evaluation_batches(50, 16), CPU))
    inputs = torch.zeros(2, 1, 9, 9, requires_grad=True)
    data.prepare(inputs).sum().backward()
    assert inputs.grad is not None


def test_one_batch_is_prepared_ahead_and_the_order_kept() -> None:
    drawn: list[int] = []

    def batches() -> Generator[tuple[Tensor, Tensor], None, None]:
        for number in range(4):
            drawn.append(number)
            yield torch.tensor(number), torch.tensor(-number)

    ahead = one_ahead(batches(), CPU)
    assert int(next(ahead)[0]) == 0
    assert drawn == [0, 1]
    assert [int(x) for x, _ in ahead] == [1, 2, 3]
    assert list(one_ahead(iter_of_none(), CPU)) == []


def iter_of_none() -> Generator[tuple[Tensor, Tensor], None, None]:
    yield from ()


def test_closing_a_stream_closes_its_source() -> None:
    closed: list[bool] = []

    def batches() -> Generator[tuple[Tensor, Tensor], None, None]:
        try:
            while True:
                yield torch.zeros(1), torch.zeros(1)
        finally:
            closed.append(True)

    ahead = one_ahead(batches(), CPU)
    next(ahead)
    ahead.close()
    assert closed == [True]


def test_a_tensor_on_its_device_is_not_copied() -> None:
    tensor = torch.zeros(3)
    assert send(tensor, CPU) is tensor


@pytest.mark.cuda
@pytest.mark.parametrize("config", [AugmentConfig(), EVERYTHING], ids=["plain", "augmented"])
def test_on_a_gpu_the_batches_are_those_of_the_cpu(gpu: torch.device, config: AugmentConfig) -> None:
    data = split(config)
    found = list(data.stream(training_batches(50, 16, 3, 0, 7), gpu))
    wanted = list(data.stream(training_batches(50, 16, 3, 0, 7), CPU))
    for (x, labels), (expected, answers) in zip(found, wanted, strict=True):
        assert x.device.type == "cuda"
        # Interpolation rounds differently on a GPU, to the next of 256 values at most.
        assert float((x.cpu() - expected).abs().max()) < 2.1 / 255 / 0.3
        assert torch.equal(labels.cpu(), answers)
