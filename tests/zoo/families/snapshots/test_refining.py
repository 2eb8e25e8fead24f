"""Networks that grew on small images, carried over to larger ones."""

from __future__ import annotations

import runpy

import pytest
import torch
import torch.nn.functional as F

from tests.support.paths import ROOT
from zoo.families.snapshots.growing import GrowingNetwork
from zoo.families.snapshots.refining import refine
from zoo.utils.errors import BuildError


def pair(shape: tuple[int, int, int], **rules: object) -> tuple[GrowingNetwork, GrowingNetwork]:
    """Networks for images of a shape and of twice its sides."""
    torch.manual_seed(0)
    channels, height, width = shape
    options = {"density": 0.3, "max_density": 0.6, "sweeps": 2, **rules}
    small = GrowingNetwork(channels * height * width, (6, 5), 3, **options)  # type: ignore[arg-type]
    return small, GrowingNetwork(4 * channels * height * width, (6, 5), 3, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 3, 5), (3, 2, 4)])
def test_the_finer_network_answers_as_the_coarse_one_does_for_means_of_pixels(shape: tuple[int, int, int]) -> None:
    small, large = pair(shape)
    with torch.no_grad():
        small.net.bias.normal_()
    count = refine(large.net, small.net, shape)
    images = torch.randn(7, shape[0], 2 * shape[1], 2 * shape[2])
    torch.testing.assert_close(large(images), small(F.avg_pool2d(images, 2)))
    begin, _, _ = small.net.laid()
    reads = int((begin < small.net.layout.inputs).sum())
    assert count == int(large.net.edges) == len(begin) + 3 * reads


def test_the_finer_network_goes_on_learning_and_growing() -> None:
    small, large = pair((1, 2, 2), trigger={"every": 1})
    refine(large.net, small.net, (1, 2, 2))
    images = torch.randn(60, 1, 4, 4)
    batches = [(images, images.flatten(1)[:, :3].argmax(1))]
    optimizer = torch.optim.Adam(large.parameters(), lr=1e-2)
    reports = [large.train_epoch(batches, optimizer) for _ in range(30)]
    assert reports[-1].loss < reports[0].loss
    assert reports[0].connections >= int(small.net.edges)


def test_networks_that_do_not_fit_are_refused() -> None:
    small, large = pair((1, 2, 2))
    with pytest.raises(BuildError, match=r"refine: found layers \[4, 6, 5, 3\] and \[16, 6, 5, 3\]"):
        refine(large.net, small.net, (1, 1, 4 * 2))
    with pytest.raises(BuildError, match="refine: found layers"):
        refine(small.net, large.net, (1, 2, 2))
    narrow = GrowingNetwork(16, (6, 5), 3, density=0.01, max_density=0.1)
    with pytest.raises(BuildError, match=r"max_density 0\.1 allows"):
        refine(narrow.net, small.net, (1, 2, 2))


def test_the_example_prints_a_line_per_resolution(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(ROOT / "examples" / "resolutions.py"))
    example["main"]("digits", epochs=1, samples=128)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "pixels" in line] == ["2", "4", "8", "8"]
