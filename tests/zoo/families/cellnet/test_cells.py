from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from zoo.data.task import Task
from zoo.families.cellnet.cells import Cell, CellNetwork, InCell, OutCell
from zoo.families.cellnet.config import CellnetConfig
from zoo.families.cellnet.model import Cellnet


def by_hand() -> list[Cell]:
    """Two InCells, a cell and two OutCells with cores of their own, in a ring and one way across."""
    cells = [InCell(6, 5), InCell(6, 3), Cell(4), OutCell(3, 5), OutCell(3, 2)]
    for number, cell in enumerate(cells):
        cell.listen(cells[number - 1], cells[(number + 1) % 5])
    return [*cells[:4], cells[4].listen(cells[1])]


CONFIG = CellnetConfig(
    cells=5, in_cells=2, out_cells=2, core=(5, 3, 4, 5, 2), hidden=7, steps=4, input_steps=3,
    topology={"name": "explicit", "edges": [
        (4, 0), (1, 0), (0, 1), (2, 1), (1, 2), (3, 2), (2, 3), (4, 3), (3, 4), (0, 4), (1, 4),
    ]},
)  # fmt: skip


@pytest.mark.parametrize("arrange", [lambda cells: cells, lambda cells: [cells[2], *cells[3:], *cells[:2]]])
def test_a_network_composed_by_hand_equals_the_family_bit_for_bit(arrange: Callable[[list[Cell]], list[Cell]]) -> None:
    torch.manual_seed(0)
    family = Cellnet(CONFIG, Task((6,), 3))
    torch.manual_seed(0)
    net = CellNetwork(arrange(by_hand()), hidden=7, input_steps=3)
    ours, theirs = net.state_dict(), family.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    x = torch.randn(4, 6)
    found, expected = net(x, 5, trace=True), family(x, 5, trace=True)
    states = zip(found.cores + found.logits, expected.cores + expected.logits, strict=True)
    assert all(torch.equal(a, b) for a, b in states)
    gradients = [torch.autograd.grad(m(x).square().sum(), list(m.parameters())) for m in (net, family)]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_network_by_hand_learns() -> None:
    torch.manual_seed(0)
    net = CellNetwork(by_hand(), hidden=16, input_steps=3)
    x = torch.randn(64, 6)
    labels = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(60):
        loss = nn.functional.cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (net(x).argmax(-1) == labels).float().mean() > 0.9


def test_images_and_a_stem_reach_the_incells() -> None:
    eye = InCell(2)
    net = CellNetwork([eye, OutCell(3).listen(eye)], stem=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    assert net(torch.randn(4, 2, 5, 5)).shape == (4, 3)
    pixels = InCell(8)
    assert CellNetwork([pixels, OutCell(3).listen(pixels)])(torch.randn(4, 2, 2, 2)).shape == (4, 3)


def test_cells_that_do_not_fit_are_refused() -> None:
    a, b, out = InCell(6), InCell(5), OutCell(3)
    out.listen(a, b)
    lonely = OutCell(3)
    far = OutCell(3).listen(Cell(4).listen(a))
    for cells, message in (
        ([a, b, out], "found 5, 6, allowed InCells with the same number of features"),
        ([Cell(), OutCell(3)], "found no InCell"),
        ([a], "found no OutCell"),
        ([a, a, out], "a cell twice"),
        ([a, out], "listens to a cell outside the network"),
        ([a, lonely], "the input reaches OutCell 0 never"),
        ([a, *far.sources, far], "input_steps: found 2, the input reaches OutCell 0 in step 3"),
    ):
        with pytest.raises(ValueError, match=message):
            CellNetwork(cells)
    with pytest.raises(ValueError, match="the cell itself"):
        a.listen(a)
    with pytest.raises(ValueError, match="a cell twice"):
        out.listen(a)
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="core: found"):
            Cell(wrong)  # type: ignore[arg-type]
