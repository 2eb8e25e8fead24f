"""Splits data sets that are small enough to hold in memory."""

from __future__ import annotations

from torch import Tensor

from sdk.inputs import InputSpec
from zoo.config.data import AugmentConfig, DigitsConfig, FashionMnistConfig, IrisConfig, MnistConfig
from zoo.data.sampling import hold_out
from zoo.data.split import ArraySplit, Data


def split_in_memory(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    spec: InputSpec,
    config: DigitsConfig | FashionMnistConfig | IrisConfig | MnistConfig,
    names: list[str],
) -> Data:
    """Hold validation samples out of ``train`` as the config says, and return the three splits.

    ``train`` and ``test`` are inputs ``[N, *shape]``, uint8 or float32, and labels ``[N]``; ``names`` are those of the
    classes. Raises DataError for an impossible validation size.
    """
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
