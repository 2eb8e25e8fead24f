"""In all tests, memory from ``torch.empty`` is NaN, and the user's own models are in a folder of the test."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sdk import resolve
from zoo.config.data import DatasetConfig
from zoo.data.split import Data
from zoo.kernels import runtime

CIFAR10 = "uoft-cs/cifar10"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a job in the background, which a shell starts so
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each worker of pytest-xdist whole modules, and one of them all tests of the browser, which share a site.

    Tests that share nothing, and take long, have groups of their own.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            folder = item.path.parent
            item.add_marker(pytest.mark.xdist_group(str(folder if folder.name == "web" else item.path)))


@pytest.fixture(autouse=True)
def _nan_for_uninitialised_memory() -> Iterator[None]:
    """Show outputs that were never written."""
    # fill_uninitialized_memory needs deterministic mode; warn_only allows ops without a deterministic form.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def own_models_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the user's own models, which does not exist yet; the real one is never read or written."""
    folder = tmp_path_factory.getbasetemp() / "models-of-the-user" / uuid.uuid4().hex
    monkeypatch.setenv("ZOO_MODELS", str(folder))
    monkeypatch.setattr(resolve, "_warned", set())
    return folder


@pytest.fixture(scope="session", autouse=True)
def _photographs_are_decoded_once() -> Iterator[None]:
    """Keep the 60,000 photographs of CIFAR-10, of which a dozen tests ask for; no test changes them."""
    try:
        from zoo.data import dataset
    except ImportError:  # a machine with a GPU may lack the package datasets, which the tests marked cuda do not need
        yield
        return
    load, kept = dataset.load, dict[tuple[str, Path], Data]()

    def load_once(config: DatasetConfig, folder: Path) -> Data:
        if config.path != CIFAR10:
            return load(config, folder)
        key = config.model_dump_json(), folder
        if key not in kept:
            kept[key] = load(config, folder)
        return kept[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dataset, "load", load_once)
        yield


@pytest.fixture
def gpu() -> torch.device:
    """The CUDA device; the test is skipped where torch sees none, and fails where the kernels lack CUDA."""
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    if not runtime.compiled().cuda_built:
        pytest.fail("there is a GPU, but the CUDA kernels were not built: reinstall with ZOO_CUDA=ON")
    return torch.device("cuda", 0)
