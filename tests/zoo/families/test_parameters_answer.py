"""A loaded module answers by its parameters, or says in an error that it does not and how to change that."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import sdk
from zoo.layers import GrownClassifier
from zoo.utils.errors import StaleAnswerError

BY_PARAMETERS = ["gridnet-digits", "cellnet-digits", "normnet-digits"]
BY_STORED = ["snapshots-digits", "nca-iris", "nca-learner"]
CHANGES: dict[str, Callable[[nn.Parameter], object]] = {
    "zero_": lambda p: p.detach().zero_(),
    "data.zero_": lambda p: p.data.zero_(),
    "data": lambda p: setattr(p, "data", torch.zeros_like(p)),
    "copy_ from numpy": lambda p: p.data.numpy().fill(0),
}


def loaded(name: str) -> nn.Module:
    module: nn.Module = sdk.load(name, backend="torch").module
    return module


def inputs(name: str) -> Tensor:
    shape = sdk.load(name).input_spec.shape
    return torch.rand(8, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", BY_PARAMETERS)
def test_zeroed_parameters_change_the_answer(name: str, change: str) -> None:
    module, x = loaded(name), inputs(name)
    before = module(x)
    for parameter in module.parameters():
        CHANGES[change](parameter)
    assert not torch.allclose(module(x), before)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", BY_STORED)
def test_zeroed_parameters_behind_a_stored_answer_are_an_error_that_says_what_to_do(name: str, change: str) -> None:
    module, x = loaded(name), inputs(name)
    module(x)
    for parameter in module.parameters():
        CHANGES[change](parameter)
    with pytest.raises(StaleAnswerError, match=r"call (clear_ensemble\(\)|module.grow\(inputs, labels\))"):
        module(x)


@pytest.mark.parametrize("name", BY_PARAMETERS)
def test_an_optimizer_step_changes_the_answer(name: str) -> None:
    module, x = loaded(name), inputs(name)
    before = module(x)
    step(module.train(), x)
    assert not torch.allclose(module.eval()(x), before)


def test_an_optimizer_step_on_a_snapshots_network_is_noticed_and_counts_after_clear_ensemble() -> None:
    module, x = loaded("snapshots-digits"), inputs("snapshots-digits")
    with pytest.warns(match=r"call clear_ensemble\(\) first"):
        step(module.train(), x)
    with pytest.raises(StaleAnswerError, match="parameters were changed after its ensemble was stored"):
        module.eval()(x)
    module.clear_ensemble()
    trained = module(x)
    step(module.train(), x)
    assert not torch.equal(module.eval()(x), trained)


@pytest.mark.parametrize("name", ["nca-iris", "nca-learner"])
def test_training_a_grown_network_through_its_rule_says_how_to_train_it(name: str) -> None:
    module, x = loaded(name), inputs(name)
    with pytest.raises(StaleAnswerError, match=r"use zoo.layers.GrownClassifier\(module, inputs, labels\)"):
        step(module.train(), x)
    labels = torch.arange(8) % 3
    trainable = GrownClassifier(module.eval(), x, labels)
    before = trainable(x)
    step(trainable, x)
    assert not torch.allclose(trainable(x), before)


def test_a_frozen_rule_passes_gradients_to_its_inputs_while_in_training() -> None:
    module, x = loaded("nca-iris").requires_grad_(False).train(), inputs("nca-iris").requires_grad_()
    module(x).sum().backward()
    assert x.grad is not None
    assert x.grad.any()


@pytest.mark.parametrize("name", BY_STORED)
def test_copies_and_other_dtypes_keep_the_guard(name: str) -> None:
    x = inputs(name)
    for module in (copy.deepcopy(loaded(name)), loaded(name).double()):
        dtype = next(module.parameters()).dtype
        module(x.to(dtype))
        next(module.parameters()).data.add_(1)
        with pytest.raises(StaleAnswerError):
            module(x.to(dtype))


@pytest.mark.parametrize("name", BY_STORED)
def test_loading_a_state_renews_the_answer(name: str) -> None:
    module, x = loaded(name), inputs(name)
    state, before = copy.deepcopy(module.state_dict()), module(x)
    for parameter in module.parameters():
        parameter.data.zero_()
    module.load_state_dict(state)
    assert torch.equal(module(x), before)


def step(module: nn.Module, x: Tensor) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    nn.functional.cross_entropy(module(x), torch.arange(len(x)) % 3).backward()
    optimizer.step()
