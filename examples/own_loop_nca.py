"""``python examples/own_loop_nca.py FOLDER``: grow a classifier with a Meta-NCA rule, then fine-tune it, on wine."""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

import sdk
import zoo
from zoo.layers import GrownClassifier

torch.manual_seed(0)
wine = load_wine()
x, x_test, y, y_test = train_test_split(wine.data, wine.target, test_size=0.3, random_state=0, stratify=wine.target)
inputs, labels = torch.from_numpy(x).float(), torch.from_numpy(y)

rule = sdk.load("nca-learner", backend="torch").module
net = GrownClassifier(rule, inputs, labels)  # the rule grows the weights; no gradient so far
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
for _ in range(100):
    loss = F.cross_entropy(net(inputs), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

spec = sdk.InputSpec("table", (13,), mean=(0.0,) * 13, std=(1.0,) * 13)  # the network standardises by itself
folder = zoo.save(net, sys.argv[1], labels=wine.target_names, input=spec, data="wine")
predicted = sdk.load(folder).predict(x_test)
right = sum(name == wine.target_names[label] for name, label in zip(predicted, y_test, strict=True))
print(f"{right} of {len(y_test)} unseen wines recognised")
