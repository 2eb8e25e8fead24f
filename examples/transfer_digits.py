"""``python examples/transfer_digits.py FOLDER``: digits 5 to 9 from a model of digits 0 to 4, against from scratch.

Writes scikit-learn's digits as folders of PNGs, trains a model of each family on 0 to 4, then models on 5 to 9 with few
and many samples: from scratch, from that model, and from it with a tenth of the learning rate. Each has three seeds,
which also choose the samples, and the same number of steps. Prints a table of mean test accuracies; results that exist
in FOLDER are not computed again.
"""

import json
import statistics
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from zoo.artifacts.from_run import export_run
from zoo.recipe import load_recipe
from zoo.training.loop import train

SEEDS = (0, 1, 2)
SIZES = (10, 50, 200, None)  # training samples, None: all
TRAIN = {
    "gridnet-digits": ["train.epochs=null", "train.steps=500"],
    "cellnet-digits": ["train.epochs=null", "train.steps=500"],
    "normnet-digits": ["train.epochs=null", "train.steps=500"],
    "snapshots-digits": ["train.epochs=150"],  # its rules count epochs
}
ARMS = {"from scratch": [], "--from": [], "--from, rate 0.1": ["train.taken_lr_factor=0.1"]}


def write_images(folder: Path, classes: range, size: int | None, seed: int) -> int:
    """Write train/, val/ and test/ for some classes, ``size`` training samples; return the number of these."""
    digits = load_digits()
    labels, order = digits.target, np.random.default_rng(seed).permutation(1437)  # the last 360 are the test part
    written = 0
    for digit in classes:
        mine = order[labels[order] == digit]
        count = len(mine) - 30 if size is None else size // len(classes)
        parts = {
            "val": mine[:30],
            "train": mine[30 : 30 + count],
            "test": 1437 + np.flatnonzero(labels[1437:] == digit),
        }
        for part, chosen in parts.items():
            (folder / part / str(digit)).mkdir(parents=True, exist_ok=True)
            for number in chosen:
                pixels = (digits.images[number] / 16 * 255).round().astype(np.uint8)
                Image.fromarray(pixels).save(folder / part / str(digit) / f"{number}.png")
        written += len(parts["train"])
    return written


def fit(name: str, folder: Path, classes: range, size: int | None, seed: int, *options: str) -> float:
    """Train a recipe on some classes, write its model to ``folder/model`` and return the test accuracy."""
    result = folder / "accuracy.json"
    if not result.is_file():
        samples = write_images(folder / "images", classes, size, seed)
        data = f"data={{name: image_folder, path: {folder / 'images'}, image_size: 8, resize: 8}}"
        augment = load_recipe(name).to_dict()["data"]["augment"]
        overrides = [data, f"data.augment={json.dumps(augment)}", f"train.batch_size={min(64, samples)}", *TRAIN[name]]
        if "epochs=null" in overrides[3]:
            overrides.append("train.checkpoint_every=100")
        trained = train(
            load_recipe(name, [*overrides, f"train.seed={seed}", *options]),
            run_dir=folder / "run",
            device="cpu",
            progress=False,
        )
        if size is None and not options:
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
