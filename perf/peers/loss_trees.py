#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Boosted trees on the 32 window statistics: a baseline for lode-perf loss, never part of the product.
usage: loss_trees.py FIT TEST OUT, files of float32; a row is the label and the statistics."""
import sys

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

COLUMNS = 33


def read(path):
    rows = np.fromfile(path, dtype=np.float32).reshape(-1, COLUMNS)
    return rows[:, 1:], rows[:, 0] > 0


fit_x, fit_y = read(sys.argv[1])
test_x, _ = read(sys.argv[2])
trees = HistGradientBoostingClassifier(max_iter=200, learning_rate=0.1, max_leaf_nodes=31,
                                       early_stopping=False, random_state=1)
trees.fit(fit_x, fit_y)
trees.predict_proba(test_x)[:, 1].astype(np.float32).tofile(sys.argv[3])
