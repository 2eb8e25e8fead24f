"""Forks while other threads run kernels, and after torch has used its pool; a program of its own.

    python -m tests.support.forking SCENARIO CHILDREN

Prints how many children ended well. A child that does not end in 20 seconds is killed by its alarm.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable

import numpy as np
import torch

import sdk
from sdk.backends import BACKENDS
from zoo.kernels.gridnet import gridnet_evolve
from zoo.kernels.nca import evolve
from zoo.kernels.nca.reference import RuleSpec
from zoo.kernels.sparse_linear import sparse_linear
from zoo.kernels.sparse_linear.structure import Structure

GRID = (8, 8, 4)
WEIGHTS = [torch.full(shape, 0.01) for shape in ((1, 27, *GRID), (1, *GRID), (1, *GRID), GRID, GRID)]
X = torch.randn(40, *GRID, generator=torch.Generator().manual_seed(0))
SPEC = RuleSpec((3, 16, 1))
NCA = (
    torch.randn(4, 2, 16, 16, 1, generator=torch.Generator().manual_seed(0)), None,
    torch.ones(8, 4, 2, 16, 16, dtype=torch.bool), torch.full((4, 3), 16, dtype=torch.int32),
    torch.full((SPEC.parameters,), 0.01), SPEC,
)  # fmt: skip
STRUCTURE = Structure.of(64, 64, torch.arange(64), torch.arange(64))
FEATURES = torch.ones(512, 64)


def compute() -> list[torch.Tensor]:
    """Call every op once; they share one pool of threads."""
    return [gridnet_evolve(*WEIGHTS, X, 4, block=4), evolve(*NCA), sparse_linear(FEATURES, torch.ones(64), STRUCTURE)]


def count_good(children: int, child: Callable[[], bool]) -> int:
    good = 0
    for _ in range(children):
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            try:
                os._exit(0 if child() else 1)
            finally:
                os._exit(2)
        good += os.waitpid(pid, 0)[1] == 0
    return good


def while_kernels_run(children: int, grandchildren: bool = False) -> int:
    """Fork while other threads are inside kernels; the last fork is made by one of these threads."""
    torch.set_num_threads(2)
    wanted, stop = compute(), threading.Event()

    def same() -> bool:
        return all(torch.equal(a, b) for a, b in zip(compute(), wanted, strict=True))

    def child() -> bool:
        return same() and (not grandchildren or count_good(1, same) == 1)

    def work() -> None:
        while not stop.is_set():
            compute()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    good = count_good(children, child)
    stop.set()
    for worker in workers:
        worker.join()
    return good


def after_prediction(children: int, backend: str, again: bool) -> int:
    """Fork after a model was loaded and used; children use it, or load it again."""
    torch.set_num_threads(2)
    torch.ones(2000, 2000) @ torch.ones(2000, 2000)  # torch starts its pool
    names = [
        name
        for name in ("cellnet-mnist", "gridnet-mnist", "snapshots-mnist")
        if name.startswith(BACKENDS[backend].families or "")
    ]
    models = [sdk.load(name, backend=backend) for name in names]
    batches = [np.ones((64, *model.input_spec.shape), dtype=np.float32) for model in models]
    wanted = [model._runner.logits(x) for model, x in zip(models, batches, strict=True)]

    def child() -> bool:
        used = [sdk.load(model.name, backend=backend) for model in models] if again else models
        found = [model._runner.logits(x) for model, x in zip(used, batches, strict=True)]
        return all(np.allclose(a, b, atol=1e-4) for a, b in zip(found, wanted, strict=True))

    return count_good(children, child)


SCENARIOS: dict[str, Callable[[int], int]] = {
    "kernels": while_kernels_run,
    "grandchildren": lambda children: while_kernels_run(children, grandchildren=True),
    "native": lambda children: after_prediction(children, "native", again=False),
    "torch": lambda children: after_prediction(children, "torch", again=False),
    "torch again": lambda children: after_prediction(children, "torch", again=True),
    "onnx again": lambda children: after_prediction(children, "onnx", again=True),
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # Python warns of forks with threads, the point of this program
    torch.set_grad_enabled(False)
    print(SCENARIOS[sys.argv[1]](int(sys.argv[2])))
