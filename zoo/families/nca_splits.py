"""Whether an encoding rule generalises whatever the split: one trained for each, beside usual learners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.families.base import Findings, ProbeContext
from zoo.families.nca_baselines import make_logistic, make_mlp
from zoo.families.nca_config import NcaConfig
from zoo.families.nca_evolution import draw_fires, perceive, read_logits, run_networks, silence
from zoo.families.nca_module import MetaNca
from zoo.families.nca_tasks import stack_inputs
from zoo.splits import derive_seed, hold_out

SPLITS = 30
_POPULATION, _LR = 4, 1e-2
# Of networks of one layer and of deeper ones, which take several times as long a step. Chosen on validation parts.
_STEPS, _STEPS_DEEP = 500, 200
_Samples = tuple[Tensor, Tensor]


def measure_splits(context: ProbeContext, splits: int = SPLITS, steps: int | None = None) -> Findings:
    """Each split holds a fifth of all samples out; a rule for the exported architecture trains anew on the rest."""
    if steps is None:
        steps = _STEPS if context.config.layers == 1 else _STEPS_DEEP
    pools = [part.everything() for part in (context.data.train, context.data.validation, context.data.test)]
    inputs, labels = (torch.cat(parts) for parts in zip(*pools, strict=True))
    found: dict[str, list[float]] = {"rule": [], "logistic": [], "mlp": []}
    parts = [_split(inputs, labels, derive_seed(context.seed, number)) for number in range(splits)]
    modules = _train_together(context, [shown for shown, _ in parts], steps)
    for number, (((x, known), (asked, answers)), module) in enumerate(zip(parts, modules, strict=True)):
        found["rule"].append(_score(module(asked), answers))
        for name, learner in (("logistic", make_logistic()), ("mlp", make_mlp(number))):
            learner.fit(x.numpy(), known.numpy())
            found[name].append(float(learner.score(asked.numpy(), answers.numpy())))
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


def _split(inputs: Tensor, labels: Tensor, seed: int) -> tuple[_Samples, _Samples]:
    """Four fifths and one, scaled as the recipe's data is: over the root mean square of the former."""
    rest, held = hold_out(labels, 0.2, seed)
    scale = inputs[rest].square().mean(0).sqrt()
    return (inputs[rest] / scale, labels[rest]), (inputs[held] / scale, labels[held])


def _train_together(context: ProbeContext, samples: Sequence[_Samples], steps: int) -> list[MetaNca]:
    """One rule of the same config for each set of samples, trained on these only, and a network that it grew.

    All train at once, each with gradients, clipping and Adam of its own. Sets have the same number of samples.
    """
    config: NcaConfig = context.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(context.seed, 1))
        modules = [MetaNca(config.model_copy(update={"seed": seed}), context.task) for seed in range(len(samples))]
        rules = _Rules([module.rule for module in modules])
        optimizer = torch.optim.Adam(rules.parameters.values(), lr=_LR)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LR, steps)
        for step in range(steps):
            epochs = min(config.epochs, 1 + step * config.epochs // max(1, steps // 4))
            optimizer.zero_grad()
            torch.autograd.backward(_loss(modules[0], rules, samples, epochs))
            rules.clip()
            optimizer.step()
            schedule.step()
    for number, (module, (inputs, labels)) in enumerate(zip(modules, samples, strict=True)):
        module.rule.load_state_dict({name: value.detach()[number] for name, value in rules.parameters.items()})
        module.grow(inputs, labels)
    return [module.eval() for module in modules]


class _Rules:
    """Rules of one shape, applied each to its own part of a population."""

    def __init__(self, rules: Sequence[nn.Module]) -> None:
        self.parameters, _ = torch.func.stack_module_state(list(rules))
        self._rule = rules[0]

    def __call__(self, perceptions: Tensor) -> Tensor:
        """``[rules, weights, features]`` -> ``[rules, weights, channels]``."""
        changes: Tensor = torch.vmap(self._apply)(self.parameters, perceptions)
        return changes

    def _apply(self, parameters: dict[str, Tensor], perceptions: Tensor) -> Tensor:
        changes: Tensor = torch.func.functional_call(self._rule, parameters, (perceptions,))
        return changes

    def clip(self) -> None:
        """Scale the gradients of each rule to a norm of 1 at most."""
        grads = [value.grad for value in self.parameters.values() if value.grad is not None]
        norms = torch.stack([grad.flatten(1).square().sum(1) for grad in grads]).sum(0).sqrt()
        for grad in grads:
            grad.mul_((1 / (norms + 1e-6)).clamp(max=1).view(-1, *[1] * (grad.ndim - 1)))


def _loss(module: MetaNca, rules: _Rules, samples: Sequence[_Samples], epochs: int) -> Tensor:
    """The sum over the rules of what each one's networks lose on its samples after ``epochs`` from fresh starts."""
    config, count = module.config, len(samples)
    wiring, state = module.begin([module.architecture()] * (count * _POPULATION))
    for _ in range(epochs):
        perceptions = perceive(state, wiring, config.rule.pooling)
        changes = rules(perceptions.view(count, -1, perceptions.shape[-1])).view_as(state)
        state = state + changes * draw_fires(wiring, config.fraction)[..., None]
    queries = stack_inputs([inputs for inputs, _ in samples for _ in range(_POPULATION)], wiring, config.bias)
    answers = torch.stack([labels for _, labels in samples for _ in range(_POPULATION)])
    sums = run_networks(state[..., 0], queries)[1]
    loss = F.cross_entropy(read_logits(sums, wiring).flatten(0, 1), answers.flatten())
    return count * (loss + config.meta.alive * silence(sums, wiring))


def _score(logits: Tensor, labels: Tensor) -> float:
    return float((logits.argmax(-1) == labels).float().mean())
