"""Search for a rule and a rate in scikit-learn, and bring the winner to C.

Run it with `python examples/pipeline.py`; it needs a C compiler. A pipeline of scikit-learn scales
the columns of the breast cancer data and trains a network. A grid search with cross-validation
chooses the update rule and its learning rate. The winner, scaling and probability included, becomes
one header of C99, is compiled, and is compared with Python on rows that it has never seen.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import minidl as dl

try:
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import GridSearchCV, train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from minidl.sklearn import MLPClassifier
except ModuleNotFoundError:
    sys.exit("The search needs scikit-learn: python -m pip install 'minidl[sklearn]'")

MAIN = """#include <stdio.h>
#include "net.h"
int main(void) {
    float x[30], y[1];
    for (; fread(x, sizeof x, 1, stdin) == 1; fwrite(y, sizeof y, 1, stdout)) net(x, y);
    return 0;
}
"""

parser = argparse.ArgumentParser(description="Choose a rule and a rate, and export to C.")
parser.add_argument("--folder", type=Path, help="keep the header there (default: temporary)")
parser.add_argument("--folds", type=int, default=5, help="parts of the data for the search")
arguments = parser.parse_args()
if arguments.folder and not arguments.folder.is_dir():
    parser.error(f"--folder: there is no folder {arguments.folder}")
compiler = shutil.which("cc") or parser.error("there is no C compiler cc")
temporary = tempfile.TemporaryDirectory()
folder = arguments.folder or Path(temporary.name)

data = train_test_split(*load_breast_cancer(return_X_y=True), test_size=0.25, random_state=0)
x_train, x_test, y_train, y_test = data
network = MLPClassifier(16, "tanh", batch_size=32, tol=1e-3, random_state=0)
grid = {"optimizer": ["SGD", "RMSprop", "Adam"], "learning_rate_init": [0.003, 0.01, 0.03]}
grid = {f"mlpclassifier__{name}": values for name, values in grid.items()}
pipeline = make_pipeline(StandardScaler(), network)
search = GridSearchCV(pipeline, grid, cv=arguments.folds, n_jobs=2)
search.fit(x_train, y_train)
scores = search.cv_results_["mean_test_score"]
for score, options in zip(scores, search.cv_results_["params"], strict=True):
    rate, rule = (options[name] for name in sorted(options))
    print(f"{rule:8} {rate:<6} accuracy {score:.3f}" + "  best" * (options == search.best_params_))

scaler, best = search.best_estimator_
scale = dl.data.Standardize(30)
scale.load_state_dict({"mean": scaler.mean_, "deviation": scaler.scale_})
model = dl.nn.Sequential(scale, *best.model_, dl.nn.Sigmoid())  # the second class's probability
dl.export.to_c(model, folder / "net.h")

(folder / "main.c").write_text(MAIN)
subprocess.run([compiler, "-std=c99", "-O2", "main.c", "-lm", "-o", "main"], cwd=folder, check=True)
rows = x_test.astype(np.float32).tobytes()
run = subprocess.run([folder / "main"], input=rows, capture_output=True, check=True)
in_c, in_python = np.frombuffer(run.stdout, np.float32), search.predict_proba(x_test)[:, 1]
print(f"accuracy on {len(y_test)} new rows: {search.score(x_test, y_test):.3f} in Python, ", end="")
print(f"{np.mean((in_c > 0.5) == y_test):.3f} in C")
print(f"largest difference of a probability: {np.abs(in_c - in_python).max():.1e}")
