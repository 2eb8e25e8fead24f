"""Start a training from a trained model: read it, take its weights, freeze parameters, and report the outcome."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from torch import nn

import sdk
from sdk.artifact import WEIGHTS_FILE, ArtifactConfig
from sdk.errors import CellzooError
from zoo.config.train import TrainConfig
from zoo.data.split import Data
from zoo.families.base import Ends, FamilyConfig
from zoo.families.registry import get_family, load_hook
from zoo.families.taking import Match, Taken, match_labels, take_by_name
from zoo.recipe import Recipe
from zoo.training.checkpoint import load_checkpoint
from zoo.training.result import CHECKPOINT_FILE
from zoo.training.start import Start
from zoo.utils.errors import BuildError, TrainingError

_SHOWN = 3
"""Most names or settings that a line lists of one kind."""


def open_source(recipe: Recipe) -> sdk.Model | None:
    """Load the model that ``train.start_from`` names, verified and without unpickling; None if the key is not set.

    Raises TrainingError if the model is missing, damaged or of another family.
    """
    named = recipe.train.start_from
    if named is None:
        return None
    path = os.path.expanduser(named)
    try:
        model = sdk.load(path, backend="torch")
    except CellzooError as error:
        raise TrainingError(f"train.start_from: {error}") from error
    if model.config.family != recipe.model.family:
        raise TrainingError(
            f"train.start_from: {named} is a {model.config.family}, and the recipe trains a {recipe.model.family}; "
            f"name a {recipe.model.family}"
        )
    return model


def _match_outputs(data: Data, known: ArtifactConfig) -> tuple[int, ...] | None:
    """Return the position of each output among those of a trained model; None if they mean something else."""
    if data.kind != known.task:
        return None
    if data.kind == "echo":
        return tuple(range(known.outputs)) if data.input_spec.shape == known.input.shape else None
    return match_labels(data.labels, known.labels)


def start_from(recipe: Recipe, module: nn.Module, data: Data, model: sdk.Model) -> Start:
    """Take what fits of a trained ``model`` into ``module``, in place; raises TrainingError if nothing fits."""
    family, source = get_family(recipe.model.family), model.module
    config = model.config
    match = Match(_match_outputs(data, config), data.input_spec.shape == config.input.shape)
    if family.take is not None:
        try:
            taken: Taken = load_hook(family.take)(module, source, match)
        except BuildError as error:
            raise TrainingError(f"train.start_from: {error}") from None
    else:
        ends = load_hook(family.ends) if family.ends is not None else lambda _: Ends()
        taken = take_by_name(module, source, match, ends)
    named = cast(str, recipe.train.start_from)
    if not taken.names:
        raise TrainingError(f"train.start_from: nothing of {named} fits this model: {_reasons(taken.new)}")
    total = sum(parameter.numel() for parameter in module.parameters())
    on_hub = not os.path.isabs(model.origin)
    settings = _differences(recipe.model, config.model)
    return Start(
        name=config.name,
        origin=model.origin if on_hub else named,
        on_hub=on_hub,
        weights_sha256=config.files[WEIGHTS_FILE].sha256,
        taken=taken.names,
        taken_parameters=taken.count,
        new_parameters=total - taken.count,
        report=_report(named, taken, len(list(module.parameters())), total, settings),
    )


def freeze(recipe: Recipe, module: nn.Module) -> tuple[str, ...]:
    """Freeze the parameters whose names match a pattern of ``train.freeze``, and return their names.

    Raises TrainingError for a pattern that matches none, and if nothing is left to train.
    """
    names = [name for name, _ in module.named_parameters()]
    for pattern in recipe.train.freeze:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise TrainingError(f"train.freeze: {pattern!r} matches no parameter; parameters: {_listed(names, 12)}")
    frozen = tuple(name for name in names if any(fnmatchcase(name, pattern) for pattern in recipe.train.freeze))
    hook = get_family(recipe.model.family).freeze
    if frozen and hook is not None:
        try:
            load_hook(hook)(module, frozen)
        except BuildError as error:
            raise TrainingError(str(error)) from None
        return frozen
    if len(frozen) == len(names):
        raise TrainingError(
            f"train.freeze: {', '.join(recipe.train.freeze)} matches all {len(names)} parameters, which leaves nothing "
            "to train"
        )
    for name in frozen:
        module.get_parameter(name).requires_grad_(False)
    return frozen


def parameter_groups(module: nn.Module, settings: TrainConfig, taken: Iterable[str]) -> list[dict[str, Any]]:
    """Return the optimizer's groups: the trained parameters and, with a factor, the taken ones at their own rate."""
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    slow = set(taken) if settings.taken_lr_factor != 1 else set()
    rate = settings.optimizer.lr
    groups = [
        {"params": [parameter for name, parameter in trained.items() if name not in slow], "lr": rate},
        {"params": [parameter for name, parameter in trained.items() if name in slow],
         "lr": rate * settings.taken_lr_factor},
    ]  # fmt: skip
    return [group for group in groups if group["params"]]


def check_same_source(recipe: Recipe, folders: Sequence[Path]) -> None:
    """Raise TrainingError if seeds would start from other weights than those whose runs are in ``folders``.

    A run that has a checkpoint continues from it and never reads the source again.
    """
    saved = {folder: load_checkpoint(folder) for folder in folders if (folder / CHECKPOINT_FILE).is_file()}
    if recipe.train.start_from is None or not 0 < len(saved) < len(folders):
        return
    model = cast(sdk.Model, open_source(recipe))
    found = model.config.files[WEIGHTS_FILE].sha256
    for folder, state in saved.items():
        before = (state.get("start_from") or {}).get("weights_sha256")
        if before != found:
            raise TrainingError(
                f"train.start_from: {recipe.train.start_from} has changed since {folder} started from it (sha256 "
                f"{str(before)[:12]}..., now {found[:12]}...); restore it, or train all seeds again"
            )


def _differences(config: FamilyConfig, other: dict[str, Any]) -> list[str]:
    """Return the settings of the ``model:`` section that differ, as ``key HERE here, THERE there``."""
    ours = config.model_dump(mode="json")
    return [
        f"model.{key} {ours.get(key)} here, {other.get(key)} there"
        for key in ours
        if key in other and ours[key] != other[key]
    ]


def _report(named: str, taken: Taken, tensors: int, total: int, settings: Sequence[str]) -> str:
    parts = [
        f"started from {named}: took {len(taken.names)} of {tensors} tensors, {taken.count:,} of {total:,} parameters",
        f"new: {_reasons(taken.new)}" if taken.new else "",
        f"not used: {_listed(taken.left)}" if taken.left else "",
        f"settings that differ: {_listed(settings)}" if settings else "",
        taken.note,
    ]
    return "; ".join(part for part in parts if part)


def _reasons(new: dict[str, str]) -> str:
    """Return the parameters that were not taken, by the reason."""
    reasons = dict.fromkeys(new.values())
    return _listed([f"{_listed([n for n, why in new.items() if why == reason])} ({reason})" for reason in reasons])


def _listed(items: Sequence[str], most: int = _SHOWN) -> str:
    """Join items with commas; those beyond ``most`` are counted only."""
    more = [f"and {len(items) - most} more"] if len(items) > most else []
    return ", ".join([*items[:most], *more])
