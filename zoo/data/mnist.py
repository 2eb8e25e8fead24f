"""MNIST, through torchvision."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from torch import Tensor
from torchvision import datasets

from sdk.inputs import InputSpec
from zoo.config.data import MnistConfig
from zoo.data.in_memory import in_memory
from zoo.data.split import Data
from zoo.utils.errors import DataError

_LABELS = [str(digit) for digit in range(10)]


def load(config: MnistConfig, folder: Path) -> Data:
    spec = InputSpec(kind="image", shape=(1, 28, 28), mean=(0.1307,), std=(0.3081,))
    return in_memory(_read_mnist(folder, train=True), _read_mnist(folder, train=False), spec, config, _LABELS)


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
