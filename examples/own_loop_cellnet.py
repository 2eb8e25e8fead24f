"""``python examples/own_loop_cellnet.py FOLDER``: cells between torch's layers, on scikit-learn's breast cancer."""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn

import sdk
import zoo
from zoo.layers import CellBlock

torch.manual_seed(0)
cases = load_breast_cancer()
x, x_test, y, y_test = train_test_split(cases.data, cases.target, test_size=0.3, random_state=0, stratify=cases.target)
spec = sdk.InputSpec("table", (30,), mean=tuple(x.mean(0)), std=tuple(x.std(0)))
inputs, labels = torch.from_numpy(spec.prepare(x)[0]), torch.from_numpy(y)  # prepared as the SDK will

net = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), CellBlock(16, 2, cells=4, core=16, hidden=16))
optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
for _ in range(200):
    batch = torch.randint(len(inputs), (32,))
    loss = F.cross_entropy(net(inputs[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

folder = zoo.save(net, sys.argv[1], labels=cases.target_names, input=spec, data="breast cancer")
predicted = sdk.load(folder).predict(x_test)
right = sum(name == cases.target_names[label] for name, label in zip(predicted, y_test, strict=True))
print(f"{right} of {len(y_test)} unseen cases recognised")
