"""Named data sets: their three parts, what one input is, and what the classes are called."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits, load_iris
from torch import Tensor
from torchvision import datasets

from sdk.inputs import InputSpec
from zoo.image_folder import load_image_folder
from zoo.schema import AugmentConfig, DigitsConfig, ImageFolderConfig, IrisConfig, MnistConfig
from zoo.splits import ArraySplit, Data, DataError, hold_out

_DIGITS_TEST = 360
_IRIS_TEST = 30
_DIGITS = [str(digit) for digit in range(10)]


def load_data(config: Any, data_dir: str | Path | None = None) -> Data:
    """The data set of a recipe's ``data:`` section, from ``data_dir`` (see :func:`data_folder`).

    Raises DataError for a data set that is missing, damaged or too small for its split.
    """
    match config:
        case DigitsConfig():
            return _digits(config)
        case IrisConfig():
            return _iris(config)
        case MnistConfig():
            return _mnist(config, data_folder(data_dir))
        case ImageFolderConfig():
            return load_image_folder(config, data_folder(data_dir))
    raise DataError(f"unknown data set {config!r}")


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Where data sets are: ``data_dir``, else $ZOO_DATA, else ``cellzoo/data`` in the user's cache."""
    if data_dir is not None:
        return Path(data_dir).expanduser()
    if os.environ.get("ZOO_DATA"):
        return Path(os.environ["ZOO_DATA"]).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "cellzoo" / "data"


def _digits(config: DigitsConfig) -> Data:
    """8x8 pixels of 0 to 16, as floats in [0, 1]. The 360 test samples are the same whatever the seed."""
    bunch = load_digits()
    images = torch.from_numpy((bunch.images / 16).astype(np.float32))[:, None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    rest, test = hold_out(labels, _DIGITS_TEST, seed=0)
    spec = InputSpec(kind="image", shape=(1, 8, 8), mean=(0.3053,), std=(0.3761,))
    return _in_memory((images[rest], labels[rest]), (images[test], labels[test]), spec, config, _DIGITS)


def _iris(config: IrisConfig) -> Data:
    """Lengths over their root mean square in what is not test data.

    They are not centred: a network without biases could not tell a class that lies at the origin.
    """
    bunch = load_iris()
    inputs = torch.from_numpy(bunch.data.astype(np.float32))
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    rest, test = hold_out(labels, _IRIS_TEST, seed=config.split)
    scale = inputs[rest].square().mean(0).sqrt()
    spec = InputSpec(kind="table", shape=(4,), mean=(0.0,) * 4, std=tuple(scale.tolist()))
    names = [str(name) for name in bunch.target_names]
    return _in_memory((inputs[rest], labels[rest]), (inputs[test], labels[test]), spec, config, names)


def _mnist(config: MnistConfig, folder: Path) -> Data:
    spec = InputSpec(kind="image", shape=(1, 28, 28), mean=(0.1307,), std=(0.3081,))
    return _in_memory(_read_mnist(folder, train=True), _read_mnist(folder, train=False), spec, config, _DIGITS)


def _in_memory(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    spec: InputSpec,
    config: DigitsConfig | IrisConfig | MnistConfig,
    names: list[str],
) -> Data:
    rest, held = hold_out(train[1], config.validation, config.seed)
    changes = AugmentConfig() if isinstance(config, IrisConfig) else config.augment

    def split(inputs: Tensor, labels: Tensor) -> ArraySplit:
        return ArraySplit(inputs, labels, spec, changes, config.workers)

    return Data(
        train=split(train[0][rest], train[1][rest]),
        validation=split(train[0][held], train[1][held]),
        test=split(*test),
        input_spec=spec,
        labels=names,
    )


class MNIST(datasets.MNIST):  # type: ignore[misc]  # torchvision derives the folder's name from the class's
    """torchvision's MNIST, read from the original files only: older versions left pickles beside them."""

    def _check_legacy_exist(self) -> bool:
        return False


def has_mnist(folder: Path) -> bool:
    """Whether MNIST's four files are in ``folder``."""
    return all((_raw(folder) / Path(url).stem).is_file() for url, _ in MNIST.resources)


def _raw(folder: Path) -> Path:
    return folder / "MNIST" / "raw"


def _read_mnist(folder: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Images uint8 ``[N, 1, 28, 28]`` and labels ``[N]``: 60,000 for training or 10,000 for the test."""
    if not has_mnist(folder):
        _download_mnist(folder)
    try:
        mnist = MNIST(folder, train=train)
        images, labels = mnist.data[:, None], mnist.targets.long()
        if images.shape != (60_000 if train else 10_000, 1, 28, 28) or len(labels) != len(images):
            raise ValueError(f"{len(images)} images and {len(labels)} labels")
    except (OSError, RuntimeError, ValueError, AssertionError, TypeError, LookupError) as error:
        raise DataError(
            f"the MNIST files in {_raw(folder)} are damaged ({error}); delete them to have them anew"
        ) from None
    return images, labels


def _download_mnist(folder: Path) -> None:
    missing = [path for path in (_raw(folder), *_raw(folder).parents) if not path.exists()]
    try:
        MNIST(folder, download=True)
    except (OSError, RuntimeError) as error:
        for path in missing:
            with suppress(OSError):  # it was not made, or holds the files that did come
                path.rmdir()
        reason = str(error).strip().splitlines()[-1]
        raise DataError(
            f"MNIST is not in {folder} and cannot be downloaded ({reason}); put its four files into "
            "FOLDER/MNIST/raw and set ZOO_DATA=FOLDER or pass --data-dir FOLDER"
        ) from None
