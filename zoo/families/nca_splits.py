"""Whether an encoding rule generalises whatever the split: one trained for each, beside usual learners."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from zoo.families.base import Findings, ProbeContext
from zoo.families.nca_baselines import make_logistic, make_mlp
from zoo.families.nca_config import NcaConfig
from zoo.families.nca_learner import NcaLearner
from zoo.families.nca_module import MetaNca
from zoo.splits import derive_seed, hold_out

SPLITS = 30
_POPULATION, _STEPS, _LR = 4, 200, 1e-2


def measure_splits(context: ProbeContext, splits: int = SPLITS, steps: int = _STEPS) -> Findings:
    """Each split holds a fifth of all samples out; a rule for the exported architecture trains anew on the rest."""
    pools = [part.everything() for part in (context.data.train, context.data.validation, context.data.test)]
    inputs, labels = (torch.cat(parts) for parts in zip(*pools, strict=True))
    found: dict[str, list[float]] = {"rule": [], "logistic": [], "mlp": []}
    for number in range(splits):
        rest, held = hold_out(labels, 0.2, derive_seed(context.seed, number))
        scale = inputs[rest].square().mean(0).sqrt()
        x, tested = inputs[rest] / scale, inputs[held] / scale
        module = _train(context, x, labels[rest], seed=number, steps=steps)
        found["rule"].append(_score(module(tested), labels[held]))
        for name, learner in (("logistic", make_logistic()), ("mlp", make_mlp(number))):
            learner.fit(x.numpy(), labels[rest].numpy())
            found[name].append(float(learner.score(tested.numpy(), labels[held].numpy())))
    metrics = {name: {"mean": float(np.mean(v)), "std": float(np.std(v, ddof=1))} for name, v in found.items()}
    names = {"rule": "network evolved by the rule", "logistic": "logistic regression", "mlp": "MLP of 10, Adam"}
    lines = [f"| {names[name]} | {value['mean']:.2%} | {value['std']:.2%} |" for name, value in metrics.items()]
    text = [
        f"Over {splits} splits, for each of which a rule was trained anew on four fifths of the samples (for the "
        f"exported architecture alone, {steps} steps of {_POPULATION} networks, no damage) and one network that it "
        "grew from a fresh start was asked about the other fifth:",
        "",
        "| | mean | std |",
        "|---|---|---|",
        *lines,
    ]
    return Findings({"splits": metrics}, "\n".join(text), {})


def _train(context: ProbeContext, inputs: Tensor, labels: Tensor, seed: int, steps: int) -> MetaNca:
    """A rule of the same config, trained on these samples only, and a network that it grew."""
    config: NcaConfig = context.config
    shape = {"layers": (config.layers,), "hidden": (config.hidden,), "population": _POPULATION}
    shorter = {"segments": 1, "damage": 0.0, "grow_steps": steps // 4}
    meta = config.meta.model_copy(update=shape | shorter)
    config = config.model_copy(update={"meta": meta, "seed": seed})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(context.seed, seed, 1))
        module = MetaNca(config, context.task)
        learner = NcaLearner(module, config)
        optimizer = torch.optim.Adam(module.parameters(), lr=_LR)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, steps)
        for step in range(1, steps + 1):
            for result in learner.training_steps(inputs, labels):
                optimizer.zero_grad()
                torch.autograd.backward(result.loss)
                nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimizer.step()
            schedule.step()
            learner.on_step_end(step)
        module.grow(inputs, labels)
    return module.eval()


def _score(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(-1) == labels).float().mean())
