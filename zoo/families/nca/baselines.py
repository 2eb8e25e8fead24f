"""Baselines on the same samples: logistic regression, an MLP, and the task networks trained by Adam."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from zoo.families.nca.networks import read_logits, run_networks
from zoo.families.nca.population import Wiring
from zoo.families.probing import ProbeContext

ADAM_STEPS, ADAM_LR = 1000, 1e-2


def make_logistic() -> Pipeline:
    """Return an unfitted logistic regression on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def make_mlp(seed: int) -> Pipeline:
    """Return an unfitted MLP on standardised features: one hidden layer of 10 units with biases, trained by Adam."""
    mlp = MLPClassifier((10,), solver="adam", learning_rate_init=1e-2, max_iter=2000, random_state=seed)
    return make_pipeline(StandardScaler(), mlp)


def measure_baselines(context: ProbeContext, starts: int) -> dict[str, dict[str, float]]:
    """Return test accuracies: mean and sample standard deviation over ``starts`` random starts.

    Logistic regression has no random start, so its standard deviation is 0.
    """
    (inputs, labels), (queries, answers) = context.data.train.everything(), context.data.test.everything()
    logistic = make_logistic().fit(inputs.numpy(), labels.numpy()).score(queries.numpy(), answers.numpy())
    mlps = [make_mlp(seed).fit(inputs.numpy(), labels.numpy()) for seed in range(starts)]
    scores = torch.tensor([mlp.score(queries.numpy(), answers.numpy()) for mlp in mlps])
    return {
        "logistic": {"mean": float(logistic), "std": 0.0},
        "mlp": {"mean": float(scores.mean()), "std": float(scores.std())},
    }


def train_by_adam(weights: Tensor, wiring: Wiring, inputs: Tensor, labels: Tensor, steps: int = ADAM_STEPS) -> Tensor:
    """Train task networks by full-batch Adam and return their weights ``[P, L, N, M]``.

    Every step uses all of ``inputs [P, S, N]`` and ``labels [S]``.
    """
    trained = weights.detach().clone().requires_grad_()
    answers = labels.repeat(len(weights))
    # Adam treats every weight on its own, so networks in one summed loss do not affect each other.
    optimizer = torch.optim.Adam([trained], lr=ADAM_LR)
    with torch.enable_grad():
        for _ in range(steps):
            logits = read_logits(run_networks(trained, inputs)[1], wiring)
            loss = F.cross_entropy(logits.flatten(0, 1), answers) * len(weights)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return trained.detach()
