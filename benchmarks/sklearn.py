"""A default fit of minidl's estimators and of scikit-learn's MLP, and their accuracy.

Both have the defaults of scikit-learn's MLP: one hidden layer of 100 units, ReLU, Adam, batches of
200, and the same end of the training. The columns are standardized. The accuracy, or R², is the
mean over splits by ten seeds, on a quarter of the samples that is held out.
"""

import importlib.util
import warnings

import numpy as np

from benchmarks.measure import in_child, row, skipped_rows, take_turns

SEEDS = 10
QUICK = {"max_iter": 20}  # epochs


def houses(n=2000):
    """A table like that of California's houses: skewed columns, places, and prices up to a cap."""
    rng = np.random.default_rng(0)
    income, rooms = rng.lognormal(1.2, 0.5, n), rng.lognormal(1.6, 0.3, n)
    age, people = rng.integers(1, 52, n), rng.lognormal(7, 0.8, n)
    south = rng.uniform(32, 42, n)
    west = -124 + rng.uniform(0, 10, n)
    near = [(34, -118), (37.8, -122)]
    cities = sum(np.exp(-((south - a) ** 2 + (west - b) ** 2) / 2) for a, b in near)
    price = 0.4 * income + 0.01 * age + 1.5 * cities + 0.1 * rooms - 0.1 * np.log(people)
    x = np.stack([income, age, rooms, people, south, west], axis=1)
    return x, np.minimum(price + rng.normal(0, 0.3, n), 5)


def problems():
    """{name: (x, y, whether y holds labels)}."""
    from sklearn import datasets

    found = {
        "digits": (*datasets.load_digits(return_X_y=True), True),
        "breast cancer": (*datasets.load_breast_cancer(return_X_y=True), True),
        "diabetes": (*datasets.load_diabetes(return_X_y=True), False),
        "houses": (*houses(), False),
    }
    x, y, _ = found["diabetes"]
    found["diabetes"] = x, (y - y.mean()) / y.std(), False
    return found


def estimators(classifies, **options):
    """{contestant: estimator}; scikit-learn's and minidl's in float32 and float64."""
    import sklearn.neural_network

    import minidl.sklearn

    name = "MLPClassifier" if classifies else "MLPRegressor"
    ours, theirs = getattr(minidl.sklearn, name), getattr(sklearn.neural_network, name)
    return {
        "minidl": ours(dtype="float32", **options),
        "minidl, float64": ours(dtype="float64", **options),
        "scikit-learn": theirs(**options),
    }


def scores(x, y, classifies, seeds, options):
    """{contestant: the score of each seed} on samples that are held out."""
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = {}
    for seed in range(seeds):
        x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=seed)
        for who, estimator in estimators(classifies, random_state=seed, **options).items():
            pipe = make_pipeline(StandardScaler(), estimator).fit(x_train, y_train)
            found.setdefault(who, []).append(pipe.score(x_test, y_test))
    return found


def compare(repeats, quick):
    """The rows, in a process of its own."""
    from sklearn.preprocessing import scale

    warnings.simplefilter("ignore")  # that a training has not converged after max_iter
    options, rows = (QUICK if quick else {}), []
    for name, (x, y, classifies) in problems().items():
        scored = scores(x, y, classifies, 2 if quick else SEEDS, options)
        x = scale(x)
        calls = {
            who: (lambda estimator=estimator, x=x, y=y: estimator.fit(x, y))
            for who, estimator in estimators(classifies, random_state=0, **options).items()
        }
        times = take_turns(calls, repeats, quick, block=0, least=1)
        for who in calls:
            kind = "accuracy" if classifies else "R²"
            epochs, score = calls[who]().n_iter_, np.mean(scored[who])
            note = f"{epochs} epochs, {kind} {score:.4f} in the mean of {len(scored[who])} seeds"
            rows.append(row("sklearn", name, who, 1, times[who], note=note))
    return rows


def measure(repeats, quick=False):
    """The rows of this part, on one core."""
    if not importlib.util.find_spec("sklearn"):
        return skipped_rows("sklearn", 1, {"scikit-learn": "scikit-learn not installed"})
    return in_child(1, compare, repeats, quick)
