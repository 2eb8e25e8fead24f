"""MNIST and the data sets in its format, Fashion-MNIST: read and if necessary downloaded by torchvision.

Sources: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits" (1998); H. Xiao, K. Rasul
and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms" (2017). The four
files of each are in ``MNIST/raw`` and ``FashionMNIST/raw`` of the data folder.

- Input: one grey image, uint8 ``[1, 28, 28]``.
- Classes: ten, named "0" to "9", or as Fashion-MNIST's authors name them.
- Split: the official 10,000 test images; validation samples are held out of the 60,000 training images as the config
  says.
- Normalisation: pixels scaled to [0, 1], minus the mean of the training pixels, over their standard deviation.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from torchvision import datasets

from sdk.inputs import InputSpec
from zoo.config.data import FashionMnistConfig, MnistConfig
from zoo.data.in_memory import split_in_memory
from zoo.data.split import Data
from zoo.utils.errors import DataError


class MNIST(datasets.MNIST):  # type: ignore[misc]  # torchvision derives the folder's name from the class's
    """torchvision's MNIST, which reads the original files only and ignores the pickles of older versions."""

    def _check_legacy_exist(self) -> bool:
        return False


class FashionMNIST(datasets.FashionMNIST):  # type: ignore[misc]
    """torchvision's Fashion-MNIST, with the same restriction."""

    def _check_legacy_exist(self) -> bool:
        return False


@dataclass(frozen=True)
class _Source:
    """The properties of one data set in MNIST's format."""

    title: str
    reader: type[datasets.MNIST]
    labels: list[str]
    mean: float
    std: float

    @property
    def spec(self) -> InputSpec:
        """The input of a model."""
        return InputSpec(kind="image", shape=(1, 28, 28), mean=(self.mean,), std=(self.std,))

    def raw(self, folder: Path) -> Path:
        """Return the folder of the four files below the data folder."""
        return folder / self.reader.__name__ / "raw"


_SOURCES = {
    "mnist": _Source("MNIST", MNIST, [str(digit) for digit in range(10)], 0.1307, 0.3081),
    "fashion_mnist": _Source("Fashion-MNIST", FashionMNIST, list(datasets.FashionMNIST.classes), 0.2860, 0.3530),
}
FILES = tuple(Path(url).stem for url, _ in MNIST.resources)
"""The names of a data set's four files."""


def load(config: MnistConfig | FashionMnistConfig, folder: Path) -> Data:
    """Load the data set from ``folder``, downloading it if it is missing.

    Raises DataError if it is damaged or cannot be downloaded, and for an impossible validation size.
    """
    source = _SOURCES[config.name]
    train, test = (_read(source, folder, train) for train in (True, False))
    return split_in_memory(train, test, source.spec, config, source.labels)


def missing_files(folder: Path, name: str = "mnist") -> list[str]:
    """Return the names of those of the data set's four files that ``folder`` lacks."""
    return [file for file in FILES if not (_SOURCES[name].raw(folder) / file).is_file()]


def _read(source: _Source, folder: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Return images, uint8 ``[N, 1, 28, 28]``, and labels ``[N]``: 60,000 for training or 10,000 for the test."""
    raw = source.raw(folder)
    if any(not (raw / file).is_file() for file in FILES):
        _download(source, folder)
    try:
        dataset = source.reader(folder, train=train)
        images, labels = dataset.data[:, None], dataset.targets.long()
        if images.shape != (60_000 if train else 10_000, 1, 28, 28) or len(labels) != len(images):
            raise ValueError(f"{len(images)} images and {len(labels)} labels")
    except (OSError, RuntimeError, ValueError, AssertionError, TypeError, LookupError) as error:
        raise DataError(
            f"the {source.title} files in {raw} are damaged ({error}); delete them to download them again"
        ) from None
    return images, labels


def _download(source: _Source, folder: Path) -> None:
    title, raw = source.title, source.raw(folder)
    created = [path for path in (raw, *raw.parents) if not path.exists()]
    missing = [file for file in FILES if not (raw / file).is_file()]
    try:
        source.reader(folder, download=True)
    except (OSError, RuntimeError) as error:
        for path in created:
            with suppress(OSError):  # the folder was not created, or holds files that were downloaded
                path.rmdir()
        reason = str(error).strip().splitlines()[-1]
        if len(missing) < len(FILES):
            raise DataError(
                f"{title} in {raw} lacks {', '.join(missing)} of its {len(FILES)} files, and it cannot be "
                f"downloaded ({reason}); put the missing files there, uncompressed"
            ) from None
        raise DataError(
            f"{title} is not in {folder} and cannot be downloaded ({reason}); put its four files into "
            f"FOLDER/{source.reader.__name__}/raw and set ZOO_DATA=FOLDER or pass --data-dir FOLDER"
        ) from None
