from __future__ import annotations

import torch
from sklearn.datasets import load_digits

from zoo.config.data import DigitsConfig
from zoo.data import load_data
from zoo.data.task import Task

DIGITS = DigitsConfig(name="digits")


def test_the_three_splits_hold_every_digit_exactly_once() -> None:
    data = load_data(DIGITS)
    assert (len(data.train), len(data.validation), len(data.test)) == (1293, 144, 360)
    assert data.task == Task((1, 8, 8), 10)
    assert data.labels == [str(digit) for digit in range(10)]
    rows = torch.cat([split.everything()[0] for split in (data.train, data.validation, data.test)]).flatten(1)
    images = torch.from_numpy(load_digits().images / 16).float().flatten(1)
    ours = rows.mul(data.input_spec.std[0]).add(data.input_spec.mean[0]).mul(16).round()
    assert sorted(ours.tolist()) == sorted(images.mul(16).tolist())


def test_the_test_digits_do_not_depend_on_the_seed() -> None:
    one, other = load_data(DIGITS), load_data(DigitsConfig(name="digits", seed=1))
    assert torch.equal(one.test.everything()[0], other.test.everything()[0])
    assert not torch.equal(one.validation.everything()[0], other.validation.everything()[0])


def test_prepared_digits_have_about_zero_mean_and_unit_deviation() -> None:
    inputs, _ = load_data(DIGITS).train.everything()
    assert abs(float(inputs.mean())) < 0.01
    assert abs(float(inputs.std()) - 1) < 0.01
