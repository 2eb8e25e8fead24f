"""The splits of a data set, which are indexed by whole batches: ``split[Batch(...)] -> (raw inputs, labels)``."""

from __future__ import annotations

import math
import traceback
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sdk.inputs import InputSpec
from sdk.tasks import TaskKind, count_outputs
from zoo.config.data import AugmentConfig
from zoo.data import one_pass
from zoo.data.augment import Changes, augment, change, changes_from, draw, turn
from zoo.data.hashing import hash_tensors
from zoo.data.sampling import Batch
from zoo.data.tally import FAULTS_FIX, FAULTS_NAMED, Tally
from zoo.data.task import Task
from zoo.data.transfer import one_ahead, send
from zoo.data.workers import end_quietly, explain, one_line, share, start_workers
from zoo.utils.errors import DataError

_HASH_BATCH = 1024
"""Samples that are read at once to hash them."""
_GROUP, _GROUP_BYTES = 64, 8 * 2**20
"""Most batches that are prepared at once, and most bytes of their inputs, which should stay in a cache."""


class Split(Dataset[tuple[Tensor, Tensor]]):
    """One split of a data set. Raw inputs are uint8, or float32 values that only need to be normalised."""

    def __init__(self, spec: InputSpec, labels: Tensor, workers: int) -> None:
        self.spec = spec
        self.labels = labels
        self.workers = workers
        self._hashes: dict[str, str] | None = None
        self._statistics: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return raw inputs ``[B, *shape]`` and labels ``[B]``; training batches, which have a seed, are augmented."""

    def prepare(self, raw: Tensor) -> Tensor:
        """Return the model's float32 inputs: raw uint8 scaled to [0, 1], then minus the mean, over the std."""
        if raw.device not in self._statistics:
            shape = (-1,) + (1,) * (len(self.spec.shape) - 1)
            with torch.inference_mode(False):  # evaluation may come first, and training use the same tensors
                mean, std = (_floats(numbers).view(shape) for numbers in (self.spec.mean, self.spec.std))
                self._statistics[raw.device] = send(mean, raw.device), send(std, raw.device)
        mean, std = self._statistics[raw.device]
        values = raw.float().div_(255).sub_(mean) if raw.dtype == torch.uint8 else raw.sub(mean)
        return values.div_(std)

    def everything(self) -> tuple[Tensor, Tensor]:
        """Return all prepared inputs ``[N, *shape]`` and labels ``[N]``, in order; for splits that fit into memory."""
        raw, labels = self[Batch(torch.arange(len(self)))]
        return self.prepare(raw), labels

    def hashes(self) -> dict[str, str]:
        """Return hashes that tell this split from others, 32 hex digits each; computed once.

        ``content`` is that of all samples and labels in order. Splits of files may add ``names``, that of the files'
        names. Raises DataError for a file that cannot be read.
        """
        if self._hashes is None:
            self._hashes = self._compute_hashes()
        return dict(self._hashes)

    def decode_all(self) -> Tally:
        """Decode the samples that are only decoded when a batch needs them; return the faulty ones."""
        return Tally()

    def _compute_hashes(self) -> dict[str, str]:
        """Hash all raw samples; a split that can tell its samples apart without decoding them overrides this."""
        starts = range(0, len(self), _HASH_BATCH)
        raw = (self[Batch(torch.arange(i, min(i + _HASH_BATCH, len(self))))][0] for i in starts)
        return {"content": hash_tensors(chain([self.labels], raw))}

    def stream(self, batches: Iterable[Batch], device: torch.device) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield prepared inputs ``[B, *shape]`` and labels ``[B]`` on ``device`` for each batch.

        On CUDA, the next batch is prepared while the one before is in use. Raises DataError, in one line, for a file
        that cannot be read, also when a worker process reads it, and for a worker process that died or found no shared
        memory.
        """
        prepared = self._prepared(batches, device)
        return one_ahead(prepared, device) if device.type == "cuda" else prepared

    def _prepared(self, batches: Iterable[Batch], device: torch.device) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield what :meth:`stream` yields, one batch at a time."""
        loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
            self,
            batch_size=None,
            sampler=batches,
            num_workers=self.workers,
            collate_fn=share,
            worker_init_fn=end_quietly,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # the loader draws a seed, which must not advance the global generator
        )
        iterator, workers = start_workers(loader)
        try:
            for raw, labels in iterator:
                yield self.prepare(send(raw, device)), send(labels, device)
        except (DataError, RuntimeError, OSError, EOFError) as error:
            traceback.clear_frames(error.__traceback__)  # its frames hold the iterator, whose workers would go on
            found = one_line(error) if isinstance(error, DataError) else explain(error, workers)
            # Ends the workers. The garbage collector would tell them nothing, and kill each after five seconds.
            del iterator
            if found is None:
                raise
            raise found from None


class ArraySplit(Split):
    """A split in memory: ``inputs [N, *shape]``, uint8 or float32, and ``labels [N]``."""

    def __init__(self, inputs: Tensor, labels: Tensor, spec: InputSpec, config: AugmentConfig, workers: int) -> None:
        super().__init__(spec, labels, workers)
        self.inputs = inputs.contiguous()
        self.augment = config if config != AugmentConfig() else None
        self._copies: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __getitem__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._raw(self.inputs, self.labels, batch)

    def _raw(self, inputs: Tensor, labels: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return a batch of all raw inputs and labels, on their device.

        The random numbers of a batch are the same on every device, and beside any other batches.
        """
        indices = send(batch.indices, inputs.device)
        # index_select copies whole samples, and ``inputs[indices]`` number by number: twenty times as slow.
        raw, labels = inputs.index_select(0, indices), labels.index_select(0, indices)
        if batch.seed is not None and self.augment is not None:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(batch.seed)
                raw = augment(raw, self.augment, batch.rank, batch.world)
        return raw, labels

    def _joined(self, inputs: Tensor, labels: Tensor, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Return batches of all raw inputs and labels, prepared and joined; the bits are those of each batch alone."""
        indices = send(torch.cat([batch.indices for batch in batches]), inputs.device)
        labels, changes = labels.index_select(0, indices), self._changes(batches)
        if not one_pass.takes(inputs):
            return self.prepare(change(inputs.index_select(0, indices), changes)), labels
        if changes.degrees is not None:
            turned = turn(inputs.index_select(0, indices), changes)
            inputs, indices = turned.contiguous(), torch.arange(len(turned), device="cpu")
        return one_pass.take(inputs, indices, changes.offsets, changes.flipped, self._scales), labels

    def _changes(self, batches: Sequence[Batch]) -> Changes:
        """Draw the changes of batches, each by its own seed."""
        if self.augment is None or batches[0].seed is None:
            return Changes(None, None, None, None)
        draws = []
        with torch.random.fork_rng(devices=[]):
            for batch in batches:
                assert batch.seed is not None  # batches of one stream are all for training, or all for evaluation
                torch.default_generator.manual_seed(batch.seed)
                draws.append(draw(self.augment, len(batch.indices), batch.rank, batch.world))
        return changes_from(draws, self.augment)

    @cached_property
    def _scales(self) -> Tensor:
        """The numbers by which :func:`zoo.data.one_pass.take` does what :meth:`prepare` does."""
        statistics = torch.stack([_floats(self.spec.mean), _floats(self.spec.std)], 1)
        if self.inputs.dtype != torch.uint8:
            return statistics
        levels = torch.arange(256, dtype=torch.uint8, device="cpu")
        return torch.cat([self.prepare(levels.expand(self.spec.shape[0], 1, 256)).view(-1, 256), statistics], 1)

    def _prepared(self, batches: Iterable[Batch], device: torch.device) -> Generator[tuple[Tensor, Tensor], None, None]:
        """See :class:`Split`; data that fit on a GPU stay there, and are augmented there.

        On the CPU without workers, small batches are prepared several at once: most of the time that they take is that
        of calls, whose code the step in between drives out of the processor's caches.
        """
        if device.type == "cuda" and self._fits(device):
            yield from self.resident(batches, device)
        elif device.type != "cpu" or self.workers or not self._joins_batches():
            yield from super()._prepared(batches, device)
        else:
            source = iter(batches)
            while group := self._next_group(source):
                inputs, labels = self._joined(self.inputs, self.labels, group)
                sizes = [len(batch.indices) for batch in group]
                yield from zip(torch.split(inputs, sizes), torch.split(labels, sizes), strict=True)

    def _joins_batches(self) -> bool:
        """True if batches can be taken together: images are not cropped, and no subclass takes batches its own way."""
        crops = self.augment is not None and self.augment.crop is not None
        return not crops and type(self).__getitem__ is ArraySplit.__getitem__

    def _next_group(self, batches: Iterator[Batch]) -> list[Batch]:
        """Return the next batches, at most ``_GROUP`` and up to ``_GROUP_BYTES`` of prepared inputs, at least one."""
        group = list(islice(batches, 1))
        if group:
            size = 4 * math.prod(self.spec.shape) * max(1, len(group[0].indices))
            group += islice(batches, max(0, min(_GROUP, _GROUP_BYTES // size) - 1))
        return group

    def resident(self, batches: Iterable[Batch], device: torch.device) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield what :meth:`stream` yields, from a copy of all samples on ``device``, which the split keeps."""
        if device not in self._copies:
            with torch.inference_mode(False):  # evaluation may come first, and training use the same tensors
                self._copies[device] = send(self.inputs, device), send(self.labels, device)
        for batch in batches:
            if self._joins_batches():
                yield self._joined(*self._copies[device], [batch])
            else:
                raw, labels = self._raw(*self._copies[device], batch)
                yield self.prepare(raw), labels

    def _fits(self, device: torch.device) -> bool:
        """True if the samples are on the device, or would take at most a quarter of its free memory."""
        needed = self.inputs.nbytes + self.labels.nbytes
        return device in self._copies or 4 * needed <= torch.cuda.mem_get_info(device)[0]

    def _compute_hashes(self) -> dict[str, str]:
        return {"content": hash_tensors((self.labels, self.inputs))}


def _floats(numbers: Sequence[float]) -> Tensor:
    """Return numbers as float32 on the CPU, whatever torch's default dtype and device are."""
    return torch.tensor(numbers, dtype=torch.float32, device="cpu")


@dataclass(frozen=True)
class Data:
    """A data set in three splits."""

    train: Split
    validation: Split
    test: Split
    input_spec: InputSpec
    labels: list[str]
    """The name of each class."""
    about: str = ""
    """One line on what was found where, how it was split and what was left out; empty for data sets that are fixed."""
    kind: TaskKind = "classification"
    """The kind of the task; the labels of an echo have no names, as it does not use them."""

    @property
    def task(self) -> Task:
        """The task that the data set poses to a model."""
        shape = self.input_spec.shape
        return Task(shape, count_outputs(self.kind, shape, self.labels), self.kind)

    def check(self) -> None:
        """Decode every sample of all splits. Raises DataError, which names all samples that cannot be read."""
        faults = Tally()
        for split in (self.train, self.validation, self.test):
            for reason, paths in split.decode_all().paths.items():
                for path in paths:
                    faults.add(reason, path)
        if faults.paths:
            raise DataError(f"found {faults.summary(FAULTS_NAMED)}; {FAULTS_FIX}")
