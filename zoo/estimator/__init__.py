"""cellzoo for scikit-learn: recipes, and the rule that learns without gradients, as classifiers.

>>> from sklearn.datasets import load_wine
>>> from sklearn.model_selection import cross_val_score
>>> from zoo.estimator import ZooClassifier
>>> scores = cross_val_score(ZooClassifier("normnet-digits", train__epochs=20), *load_wine(return_X_y=True))

docs/guides/scikit-learn.md shows pipelines, searches and images.
"""

from zoo.estimator.classifier import ZooClassifier
from zoo.estimator.nca import NcaClassifier

__all__ = ["NcaClassifier", "ZooClassifier"]
