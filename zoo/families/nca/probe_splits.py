"""Generalisation over data splits: a rule trained for each split, compared with the baselines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from zoo.data.sampling import derive_seed, hold_out
from zoo.families.nca.baselines import make_logistic, make_mlp
from zoo.families.nca.learner import NcaLearner
from zoo.families.nca.model import MetaNca
from zoo.families.probing import Findings, ProbeContext
from zoo.optim import make_optimizer, make_schedule

SPLITS = 30
Samples = tuple[Tensor, Tensor]
"""Inputs ``[S, features]`` and labels ``[S]``."""


def measure_splits(context: ProbeContext, splits: int = SPLITS) -> Findings:
    """Hold out a fifth of all samples per split and compare a rule trained on the rest with the baselines.

    The rule is trained as the recipe says. Raises ValueError for a context without the recipe's train section.
    """
    pools = [part.everything() for part in (context.data.train, context.data.validation, context.data.test)]
    inputs, labels = (torch.cat(parts) for parts in zip(*pools, strict=True))
    found: dict[str, list[float]] = {"rule": [], "logistic": [], "mlp": []}
    for number in range(splits):
        (x, y), (queries, answers) = _split(inputs, labels, derive_seed(context.seed, number))
        module = train_rule(context, (x, y), number)
        found["rule"].append(_accuracy(module(queries), answers))
        for name, learner in (("logistic", make_logistic()), ("mlp", make_mlp(number))):
            learner.fit(x.numpy(), y.numpy())
            found[name].append(float(learner.score(queries.numpy(), answers.numpy())))
    metrics = {name: {"mean": float(np.mean(v)), "std": float(np.std(v, ddof=1))} for name, v in found.items()}
    names = {"rule": "network evolved by the rule", "logistic": "logistic regression", "mlp": "MLP of 10, Adam"}
    lines = [f"| {names[name]} | {value['mean']:.2%} | {value['std']:.2%} |" for name, value in metrics.items()]
    text = [
        f"Over {splits} splits: for each, a rule was trained on four fifths of the samples as the recipe says, and one "
        "network that it grew from a fresh start was tested on the other fifth:",
        "",
        "| | mean | std |",
        "|---|---|---|",
        *lines,
    ]
    return Findings({"splits": metrics}, "\n".join(text), {})


def train_rule(
    context: ProbeContext, samples: Samples, seed: int, watch: Callable[[int, MetaNca], None] | None = None
) -> MetaNca:
    """Train a rule as the recipe says, with all ``samples`` in every step, and grow its exported network.

    ``seed`` determines the rule's parameters, all draws of its training, and the network that it grows. ``watch`` sees
    the module before the first step and after each. Raises ValueError for a context without the recipe's train section.
    """
    train = context.train
    steps = train and (train.steps or train.epochs)
    if not train or not steps:
        raise ValueError("context.train: found None; training a rule again needs the recipe's train section")
    config = context.config.model_copy(update={"seed": seed})
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(derive_seed(context.seed, 1, seed))
        module = MetaNca(config, context.task)
        learner = NcaLearner(module, config)
        optimizer = make_optimizer(train.optimizer, module.parameters())
        schedule = make_schedule(train.schedule, optimizer, steps)
        if watch is not None:
            watch(0, module)
        for step in range(1, steps + 1):
            for result in learner.training_steps(*samples):
                optimizer.zero_grad()
                torch.autograd.backward(result.loss)
                if train.clip_norm is not None:
                    torch.nn.utils.clip_grad_norm_(module.parameters(), train.clip_norm)
                optimizer.step()
            schedule.step()
            learner.on_step_end(step)
            if watch is not None:
                watch(step, module)
        learner.before_validation(steps)
    return module.eval()


def _split(inputs: Tensor, labels: Tensor, seed: int) -> tuple[Samples, Samples]:
    """Return four fifths and one fifth, both divided by the former's root mean square, as the recipe's data is."""
    rest, held = hold_out(labels, 0.2, seed)
    scale = inputs[rest].square().mean(0).sqrt()
    return (inputs[rest] / scale, labels[rest]), (inputs[held] / scale, labels[held])


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(-1) == labels).float().mean())
