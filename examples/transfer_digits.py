"""``python examples/transfer_digits.py FOLDER``: digits 5 to 9 from a model of digits 0 to 4, against from scratch.

For each recipe, trains a model on the digits 0 to 4, then models on 5 to 9 with few and many samples: from scratch,
from that model, and from it with a tenth of the learning rate. Each has three seeds, which also choose the samples, and
the same number of steps. Prints a table of mean test accuracies with their standard deviation; results that FOLDER
already holds are not computed again.
"""

import json
import statistics
import sys
from pathlib import Path

import torch

from zoo.artifacts.from_run import export_run
from zoo.config.data import AugmentConfig
from zoo.data import load_data
from zoo.data.split import ArraySplit, Data
from zoo.recipe import load_recipe
from zoo.training.loop import train

SEEDS = (0, 1, 2)
SIZES = (10, 50, 200, None)  # training samples, None: all
STEPS = ["train.epochs=null", "train.steps=500", "train.checkpoint_every=100"]
TRAIN = {
    "gridnet-digits": STEPS,
    "cellnet-digits": STEPS,
    "normnet-digits": STEPS,
    "snapshots-digits": ["data.validation=0.1", "train.batch_size=32"],  # its rules count epochs: 150 in its recipe
}
ARMS = {"from scratch": [], "--from": [], "--from, rate 0.1": ["train.taken_lr_factor=0.1"]}


def only(data: Data, classes: range, size: int | None, seed: int) -> Data:
    """Return the samples of some classes, of which ``size`` are for training, the same number of each class."""

    augment = data.train.augment or AugmentConfig()

    def part(split: ArraySplit, size: int | None) -> ArraySplit:
        order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
        count = len(split) if size is None else size // len(classes)
        chosen = torch.cat([order[split.labels[order] == digit][:count] for digit in classes])
        labels = split.labels[chosen] - classes[0]
        return ArraySplit(split.inputs[chosen], labels, split.spec, augment, split.workers)

    parts = part(data.train, size), part(data.validation, None), part(data.test, None)
    return Data(*parts, data.input_spec, [str(digit) for digit in classes])


def fit(name: str, folder: Path, classes: range, size: int | None, seed: int, *options: str) -> float:
    """Train a recipe on some classes, write its model to ``folder/model`` and return the test accuracy."""
    result = folder / "accuracy.json"
    if not result.is_file():
        recipe = load_recipe(name, [*TRAIN[name], f"train.seed={seed}", *options])
        data = only(load_data(recipe.data), classes, size, seed)
        batch = min(recipe.train.batch_size, len(data.train))
        recipe = load_recipe(name, [*TRAIN[name], f"train.seed={seed}", f"train.batch_size={batch}", *options])
        trained = train(recipe, data=data, run_dir=folder / "run", device="cpu", progress=False)
        if classes[0] == 0:
            export_run(trained, folder / "model", overwrite=True)
        result.write_text(json.dumps(trained.test.accuracy))
    accuracy: float = json.loads(result.read_text())
    return accuracy


def main(folder: Path) -> None:
    """Train everything that is missing in ``folder`` and print the table."""
    print("| recipe | samples of 5 to 9 |", " | ".join(ARMS), "|")
    print("|---|---|" + "---|" * len(ARMS))
    for name in TRAIN:
        source = folder / name / "source"
        fit(name, source, range(5), None, 0)
        for size in SIZES:
            cells = []
            for number, options in enumerate(ARMS.values()):
                start = [f"train.start_from={source / 'model'}"] if number else []
                accuracies = [
                    fit(name, folder / name / f"{size}-{number}-{seed}", range(5, 10), size, seed, *start, *options)
                    for seed in SEEDS
                ]
                cells.append(f"{statistics.fmean(accuracies):.1%} ± {statistics.stdev(accuracies):.1%}")
            print(f"| {name} | {size or 'all'} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
