"""``python examples/resolutions.py [mnist|digits]``: grow a network on small images and carry it over to larger ones.

A growing network learns images of a quarter of the sides, is refined to half of them and then to all of them, and
learns and grows on at each (for MNIST 7, 14 and 28 pixels). For comparison, another one learns the full images alone,
for as many epochs. Prints connections, test accuracy and the edges that training has evaluated, in edges times samples.
"""

import sys

import torch
import torch.nn.functional as F

from zoo.data import load_data
from zoo.data.sampling import Batch
from zoo.families.snapshots.growing import GrowingNetwork
from zoo.families.snapshots.refining import refine
from zoo.recipe import load_recipe

EPOCHS, SAMPLES, HIDDEN = 12, 8000, (128, 64)
RULES = {"density": 0.05, "max_density": 0.2, "trigger": {"every": 2}}


def loader(images: torch.Tensor, labels: torch.Tensor, factor: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return batches of images of which each side is divided by ``factor``."""
    order = torch.randperm(len(labels))
    pooled = F.avg_pool2d(images, factor) if factor > 1 else images
    return [(pooled[part], labels[part]) for part in order.split(64)]


def make(side: int, channels: int, classes: int) -> GrowingNetwork:
    return GrowingNetwork(channels * side * side, HIDDEN, classes, **RULES)


def learn(network, train, test, factor: int, epochs: int) -> float:
    """Train and grow for some epochs; print a line, and return the edges times samples that it took."""
    optimizer, cost = torch.optim.Adam(network.parameters(), lr=3e-3), 0.0
    for _ in range(epochs):
        cost += network.connectivity().connections * len(train[1])
        report = network.train_epoch(loader(*train, factor), optimizer)
    with torch.no_grad():
        batches = loader(*test, factor)
        right = sum(int((network.eval()(x).argmax(-1) == y).sum()) for x, y in batches)
    side = train[0].shape[-1] // factor
    print(f"{side:3} pixels: {report.connections:6} connections, test accuracy {right / len(test[1]):.2%}, "
          f"{cost / 1e6:.0f} million edges")  # fmt: skip
    return cost


def main(name: str, epochs: int = EPOCHS, samples: int = SAMPLES) -> None:
    torch.manual_seed(0)
    data = load_data(load_recipe(f"gridnet-{name}").data)
    train, test = (
        (part.prepare(raw), labels)
        for part in (data.train, data.test)
        for raw, labels in [part[Batch(torch.arange(min(len(part), samples)))]]
    )
    channels, side, _ = data.input_spec.shape
    print("from small to large")
    network, total = make(side // 4, channels, len(data.labels)), 0.0
    for factor in (4, 2, 1):
        total += learn(network, train, test, factor, epochs)
        if factor > 1:
            shape = (channels, side // factor, side // factor)
            finer = make(2 * side // factor, channels, len(data.labels))
            refine(finer.net, network.net, shape)
            network = finer
    print(f"together {total / 1e6:.0f} million edges\nat full size alone")
    learn(make(side, channels, len(data.labels)), train, test, 1, 3 * epochs)


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["mnist"])
