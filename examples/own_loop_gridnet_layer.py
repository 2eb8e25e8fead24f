"""``python examples/own_loop_gridnet_layer.py FOLDER``: a ``GridnetLayer`` between torch's layers, on wine."""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn

import sdk
import zoo
from zoo.layers import GridnetLayer

torch.manual_seed(0)
wine = load_wine()
x, x_test, y, y_test = train_test_split(wine.data, wine.target, test_size=0.3, random_state=0, stratify=wine.target)
spec = sdk.InputSpec("table", (13,), mean=tuple(x.mean(0)), std=tuple(x.std(0)))
inputs, labels = torch.from_numpy(spec.prepare(x)[0]), torch.from_numpy(y)  # prepared as the SDK will

grid = (4, 4, 2)
net = nn.Sequential(
    nn.Linear(13, 32), nn.Unflatten(1, grid), GridnetLayer(grid, outer_steps=2), nn.Flatten(), nn.Linear(32, 3)
)
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
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
