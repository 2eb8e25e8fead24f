"""Cross-validate cellzoo's classifiers beside logistic regression on three small tables."""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from zoo.estimator import NcaClassifier, ZooClassifier

CLASSIFIERS = {
    "normnet-digits": ZooClassifier("normnet-digits"),
    "nca-learner": NcaClassifier(),
    "logistic regression": LogisticRegression(max_iter=1000),
}

for load in (load_wine, load_breast_cancer, load_iris):
    x, y = load(return_X_y=True)
    for name, classifier in CLASSIFIERS.items():
        pipeline = make_pipeline(StandardScaler(), classifier)
        folds = [StratifiedKFold(5, shuffle=True, random_state=seed) for seed in range(3)]
        scores = [cross_val_score(pipeline, x, y, cv=fold).mean() for fold in folds]
        print(f"{load.__name__} {name}: {np.mean(scores):.2%} +- {np.std(scores, ddof=1):.2%}")
