"""``python examples/own_loop_gridnet.py FOLDER``: a gridnet in a plain torch loop, on scikit-learn's digits."""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import sdk
import zoo
from zoo.data.task import Task
from zoo.families.gridnet.config import GridnetConfig
from zoo.families.gridnet.model import Gridnet

torch.manual_seed(0)
digits = load_digits()
images = (digits.images[:, None] / 16).astype("float32")  # [N, 1, 8, 8] in [0, 1]
x, x_test, y, y_test = train_test_split(images, digits.target, test_size=0.2, random_state=0)
spec = sdk.InputSpec("image", (1, 8, 8), mean=(x.mean(),), std=(x.std(),))
inputs, labels = torch.from_numpy(spec.prepare(x)[0]), torch.from_numpy(y)  # prepared as the SDK will

net = Gridnet(GridnetConfig(grid=(8, 8, 4), block=4, outer_steps=6), Task(input_shape=(1, 8, 8), num_classes=10))
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
for _ in range(200):
    batch = torch.randint(len(inputs), (64,))
    loss = F.cross_entropy(net(inputs[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

names, samples = [str(n) for n in digits.target_names], (torch.from_numpy(x), labels)
folder = zoo.save(net, sys.argv[1], labels=names, input=spec, data="scikit-learn's digits", training=samples)
predicted = sdk.load(folder).predict(x_test)
right = sum(name == str(label) for name, label in zip(predicted, y_test, strict=True))
print(f"{right} of {len(y_test)} unseen digits recognised")
