"""``python examples/own_loop_sparse.py FOLDER``: a sparse layer that grows while it learns scikit-learn's digits."""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import sdk
import zoo
from zoo.layers import SparseLinear

torch.manual_seed(0)
digits = load_digits()
images = (digits.images[:, None] / 16).astype("float32")  # [N, 1, 8, 8] in [0, 1]
x, x_test, y, y_test = train_test_split(images, digits.target, test_size=0.2, random_state=0)
spec = sdk.InputSpec("image", (1, 8, 8), mean=(x.mean(),), std=(x.std(),))
inputs, labels = torch.from_numpy(spec.prepare(x)[0]), torch.from_numpy(y)  # prepared as the SDK will

sparse = SparseLinear(64, 128, density=0.01, max_density=0.1)  # 82 connections, room for 819
net = nn.Sequential(nn.Flatten(), sparse, nn.ReLU(), SparseLinear(128, 10, density=0.5))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
for step in range(300):
    batch = torch.randint(len(inputs), (64,))
    loss = F.cross_entropy(net(inputs[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 49:
        sparse.grow(150)  # at weight 0, so the outputs stay

folder = zoo.save(net, sys.argv[1], labels=[str(n) for n in digits.target_names], input=spec)
predicted = sdk.load(folder).predict(x_test)
right = sum(name == str(label) for name, label in zip(predicted, y_test, strict=True))
print(f"{right} of {len(y_test)} unseen digits recognised with {sparse.connections} connections")
