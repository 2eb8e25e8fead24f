"""``python examples/own_loop_normnet.py FOLDER``: norm layers in a plain torch loop, on scikit-learn's wine."""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn

import sdk
import zoo
from zoo.layers import NormLinear

torch.manual_seed(0)
wine = load_wine()
x, x_test, y, y_test = train_test_split(wine.data, wine.target, test_size=0.3, random_state=0, stratify=wine.target)
spec = sdk.InputSpec("table", (13,), mean=tuple(x.mean(0)), std=tuple(x.std(0)))
inputs, labels = torch.from_numpy(spec.prepare(x)[0]), torch.from_numpy(y)  # prepared as the SDK will

net = nn.Sequential(NormLinear(13, 32), NormLinear(32, 3))  # the layers keep their weights within the clamp
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
for _ in range(300):
    batch = torch.randint(len(inputs), (32,))
    loss = F.cross_entropy(net(inputs[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

folder = zoo.save(net, sys.argv[1], labels=wine.target_names, input=spec, data="wine")
predicted = sdk.load(folder).predict(x_test)
right = sum(name == wine.target_names[label] for name, label in zip(predicted, y_test, strict=True))
print(f"{right} of {len(y_test)} unseen wines recognised")
