"""The MNIST data set: 70,000 handwritten digits, read and if necessary downloaded by torchvision.

Source: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits" (1998). Its four files are
in ``MNIST/raw`` of the data folder.

- Input: one grey image, uint8 ``[1, 28, 28]``.
- Classes: ten, named "0" to "9".
- Split: the official 10,000 test images; validation samples are held out of the 60,000 training images as the config
  says.
- Normalisation: pixels scaled to [0, 1], minus 0.1307, over 0.3081, the mean and standard deviation of the training
  pixels.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from torch import Tensor
from torchvision import datasets

from sdk.inputs import InputSpec
from zoo.config.data import MnistConfig
from zoo.data.in_memory import split_in_memory
from zoo.data.split import Data
from zoo.utils.errors import DataError

_LABELS = [str(digit) for digit in range(10)]
_SPEC = InputSpec(kind="image", shape=(1, 28, 28), mean=(0.1307,), std=(0.3081,))


class MNIST(datasets.MNIST):  # type: ignore[misc]  # torchvision derives the folder's name from the class's
    """torchvision's MNIST, which reads the original files only and ignores the pickles of older versions."""

    def _check_legacy_exist(self) -> bool:
        return False


FILES = tuple(Path(url).stem for url, _ in MNIST.resources)
"""The names of MNIST's four files."""


def load(config: MnistConfig, folder: Path) -> Data:
    """Load MNIST from ``folder``, downloading it if it is missing.

    Raises DataError if it is damaged or cannot be downloaded, and for an impossible validation size.
    """
    return split_in_memory(_read(folder, train=True), _read(folder, train=False), _SPEC, config, _LABELS)


def missing_files(folder: Path) -> list[str]:
    """Return the names of those of MNIST's four files that ``folder`` lacks."""
    return [name for name in FILES if not (_raw(folder) / name).is_file()]


def _raw(folder: Path) -> Path:
    return folder / "MNIST" / "raw"


def _read(folder: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Return images, uint8 ``[N, 1, 28, 28]``, and labels ``[N]``: 60,000 for training or 10,000 for the test."""
    if missing_files(folder):
        _download(folder)
    try:
        mnist = MNIST(folder, train=train)
        images, labels = mnist.data[:, None], mnist.targets.long()
        if images.shape != (60_000 if train else 10_000, 1, 28, 28) or len(labels) != len(images):
            raise ValueError(f"{len(images)} images and {len(labels)} labels")
    except (OSError, RuntimeError, ValueError, AssertionError, TypeError, LookupError) as error:
        raise DataError(
            f"the MNIST files in {_raw(folder)} are damaged ({error}); delete them to download them again"
        ) from None
    return images, labels


def _download(folder: Path) -> None:
    created = [path for path in (_raw(folder), *_raw(folder).parents) if not path.exists()]
    missing = missing_files(folder)
    try:
        MNIST(folder, download=True)
    except (OSError, RuntimeError) as error:
        for path in created:
            with suppress(OSError):  # the folder was not created, or holds files that were downloaded
                path.rmdir()
        reason = str(error).strip().splitlines()[-1]
        if len(missing) < len(FILES):
            raise DataError(
                f"MNIST in {_raw(folder)} lacks {', '.join(missing)} of its {len(FILES)} files, and it cannot be "
                f"downloaded ({reason}); put the missing files there, uncompressed"
            ) from None
        raise DataError(
            f"MNIST is not in {folder} and cannot be downloaded ({reason}); put its four files into "
            "FOLDER/MNIST/raw and set ZOO_DATA=FOLDER or pass --data-dir FOLDER"
        ) from None
