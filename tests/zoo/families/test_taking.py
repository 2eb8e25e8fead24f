from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.families.base import Ends
from zoo.families.registry import family_names, get_family, load_hook
from zoo.families.taking import Match, match_labels, take_by_name


class Net(nn.Module):
    def __init__(self, body: tuple[int, int] = (3, 2), classes: int = 3) -> None:
        super().__init__()
        self.body = nn.Linear(*body)
        self.head = nn.Linear(body[1], classes)


def ends(module: nn.Module) -> Ends:
    return Ends(inputs=("body.weight",), classes={"head.weight": 0, "head.bias": 0})


@pytest.mark.parametrize(
    ("labels", "known", "expected"),
    [
        (["a", "b"], ["a", "b"], (0, 1)),
        (["b", "c", "a"], ["a", "b", "c"], (1, 2, 0)),
        (["a", "b"], ["a", "c"], None),
        (["a", "b"], ["a", "b", "c"], None),
        (["a", "a"], ["a", "b"], None),
        (["a", "a", "b"], ["b", "a", "a"], None),  # which a is which is unknown
        (["a", "a"], ["a", "a"], (0, 1)),
    ],
)
def test_labels_match_only_as_the_same_set(labels: list[str], known: list[str], expected: object) -> None:
    assert match_labels(labels, known) == expected


def test_slices_of_classes_follow_the_order_of_the_module() -> None:
    net, source = Net(), Net()
    taken = take_by_name(net, source, Match((2, 0, 1), same_inputs=True), ends)
    assert torch.equal(net.head.weight, source.head.weight[[2, 0, 1]])
    assert torch.equal(net.head.bias, source.head.bias[[2, 0, 1]])
    assert torch.equal(net.body.weight, source.body.weight)
    assert taken.new == {}
    assert taken.count == sum(parameter.numel() for parameter in net.parameters())


def test_other_classes_and_other_inputs_start_afresh_even_if_the_shapes_agree() -> None:
    net, source = Net(), Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    taken = take_by_name(net, source, Match(None, same_inputs=False), ends)
    assert taken.names == ("body.bias",)
    assert taken.new == {"body.weight": "other inputs", "head.weight": "other classes", "head.bias": "other classes"}
    for name in taken.new:
        assert torch.equal(net.state_dict()[name], before[name])


def test_a_head_is_taken_whole_or_not_at_all() -> None:
    taken = take_by_name(Net((3, 5)), Net((3, 2)), Match((0, 1, 2), same_inputs=True), ends)
    assert taken.names == ()
    assert taken.new["head.bias"] == taken.new["head.weight"] == "3x5 here, 3x2 there"


def test_parameters_without_a_counterpart_are_named_on_both_sides() -> None:
    net, source = Net(), Net()
    net.extra = nn.Linear(2, 2)
    source.old = nn.Linear(1, 1)
    taken = take_by_name(net, source, Match((0, 1, 2), same_inputs=True), ends)
    assert {name: why for name, why in taken.new.items() if "extra" in name} == {
        "extra.weight": "absent there",
        "extra.bias": "absent there",
    }
    assert taken.left == ("old.weight", "old.bias")


def test_every_family_with_a_layer_of_classes_says_which() -> None:
    silent = [name for name in family_names() if get_family(name).ends is None and get_family(name).take is None]
    assert silent == ["nca"]  # its parameters are a rule, which no class has a part of
    for name in family_names():
        for hook in (get_family(name).ends, get_family(name).take, get_family(name).freeze):
            assert hook is None or callable(load_hook(hook))


def test_running_averages_are_taken_with_the_weights_of_their_normalisation() -> None:
    class Normed(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()
            self.norm, self.head = nn.BatchNorm1d(4), nn.Linear(4, classes)

    source, net = Normed(3), Normed(2)
    source.norm(torch.randn(50, 4) * 3 + 7)
    taken = take_by_name(
        net, source, Match(None, same_inputs=True), lambda _: Ends(classes={"head.weight": 0, "head.bias": 0})
    )
    assert set(taken.names) == {"norm.weight", "norm.bias"}
    assert torch.equal(net.norm.running_mean, source.norm.running_mean)
    assert torch.equal(net.norm.running_var, source.norm.running_var)
