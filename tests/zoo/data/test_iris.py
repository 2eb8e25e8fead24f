from __future__ import annotations

import torch
from sklearn.datasets import load_iris

from zoo.config.data import IrisConfig
from zoo.data import load_data
from zoo.data.task import Task


def test_the_three_splits_hold_every_flower_exactly_once() -> None:
    data = load_data(IrisConfig(name="iris"))
    assert (len(data.train), len(data.validation), len(data.test)) == (96, 24, 30)
    assert data.task == Task((4,), 3)
    assert data.labels == ["setosa", "versicolor", "virginica"]
    rows = torch.cat([split.everything()[0] for split in (data.train, data.validation, data.test)])
    lengths = rows.mul(torch.tensor(data.input_spec.std)).mul(10).round()
    assert sorted(lengths.tolist()) == sorted(torch.from_numpy(load_iris().data).mul(10).round().tolist())


def test_the_test_flowers_depend_on_the_split_and_not_on_the_seed() -> None:
    one, same, other = (
        load_data(IrisConfig(name="iris", split=split, seed=seed)).test for split, seed in ((0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(one.everything()[1], same.everything()[1])
    assert torch.equal(one.everything()[0], same.everything()[0])
    assert not torch.equal(one.everything()[0], other.everything()[0])
    assert one.labels.bincount().tolist() == other.labels.bincount().tolist() == [10, 10, 10]


def test_prepared_lengths_have_a_mean_square_of_one_outside_the_test_split() -> None:
    data = load_data(IrisConfig(name="iris"))
    rows = torch.cat([data.train.everything()[0], data.validation.everything()[0]])
    torch.testing.assert_close(rows.square().mean(0), torch.ones(4))
