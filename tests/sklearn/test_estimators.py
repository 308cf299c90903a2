"""The estimators, against scikit-learn's checks and its own multilayer perceptron."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import signature

import numpy as np
import pytest
from interrupting import Interrupt, interrupted

import minidl as dl

pytest.importorskip("sklearn.base")  # a folder of these tests is called sklearn, too
import pandas as pd
from joblib import parallel_config
from scipy.sparse import csr_array
from sklearn import datasets
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from minidl.sklearn import Estimator, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Network(dl.nn.MLP):
    """A network of one's own; a class has the same repr in each process."""

    def __init__(self, features, outputs, rng):
        super().__init__([features, 50, outputs], "tanh", rng=rng)


@parametrize_with_checks(
    [  # fewer epochs than by default, as in scikit-learn's checks of its own MLP
        MLPClassifier(learning_rate_init=0.02, max_iter=30),
        MLPRegressor(learning_rate_init=0.02, max_iter=30),
        Estimator(Network, "cross_entropy", learning_rate_init=0.02, max_iter=30),
    ]
)
def test_each_check_of_scikit_learn_passes(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("binary_cross_entropy", "check_classifiers_train"),  # refuses three classes
        ("binary_cross_entropy", "check_classifiers_one_label"),
        ("binary_cross_entropy", "check_classifier_multioutput"),
        ("mse", "check_regressors_train"),
        ("mse", "check_regressor_multioutput"),
        ("mse", "check_regressors_no_decision_function"),
    ],
)
def test_checks_that_depend_on_the_loss_pass(loss, name):
    own = Estimator(Network, loss, learning_rate_init=0.02, max_iter=30)
    getattr(estimator_checks, name)("Estimator", own)


# --- as scikit-learn's multilayer perceptron ----------------------------------------------------

N = 150
MAKE = {"n_samples": N, "n_features": 8, "random_state": 0}
DATA = {
    "two classes": datasets.make_classification(**MAKE),
    "four classes": datasets.make_classification(**MAKE, n_informative=5, n_classes=4),
    "three labels": datasets.make_multilabel_classification(**MAKE, n_classes=3),
    "a number": datasets.make_regression(**MAKE),
    "two numbers": datasets.make_regression(**MAKE, n_targets=2),
}
OUTPUT = dict(zip(DATA, ["logistic", "softmax", "logistic", "identity", "identity"], strict=True))


def case(name):
    """Scaled x and y, and the estimators of scikit-learn and of minidl."""
    x, y = DATA[name]
    numbers = "number" in name
    kinds = (TheirRegressor, MLPRegressor) if numbers else (TheirClassifier, MLPClassifier)
    return scale(x), scale(y) if numbers else y, *kinds


def largest_difference(a, b):
    pairs = zip([*a.coefs_, *a.intercepts_], [*b.coefs_, *b.intercepts_], strict=True)
    return max(np.abs(p - q).max() for p, q in pairs)


@pytest.mark.parametrize(("activation", "momentum"), [("relu", 0), ("logistic", 0.9), ("tanh", 0)])
@pytest.mark.parametrize("name", DATA)
def test_sgd_agrees_with_scikit_learn_to_12_digits_over_50_epochs(name, activation, momentum):
    x, y, theirs, ours = case(name)
    weight = None if momentum else np.linspace(0.1, 3, N)
    options = {"hidden_layer_sizes": (12, 7), "activation": activation, "alpha": 0.1}
    options |= {"batch_size": 64, "learning_rate_init": 0.05, "random_state": 3}
    options |= {"max_iter": 50, "n_iter_no_change": 50}
    rule = partial(dl.optim.SGD, momentum=momentum, nesterov=momentum > 0)
    a = theirs(solver="sgd", momentum=momentum, **options).fit(x, y, sample_weight=weight)
    b = ours(optimizer=rule, **options).fit(x, y, sample_weight=weight)
    assert b.history_.captured
    assert (a.n_iter_, a.t_, a.n_layers_, a.n_outputs_, a.out_activation_) == (
        *(b.n_iter_, b.t_, b.n_layers_, b.n_outputs_, b.out_activation_),
    )
    assert b.n_iter_ == 50
    assert largest_difference(a, b) < 1e-12
    if is_classifier(a):
        assert np.abs(a.predict_proba(x) - b.predict_proba(x)).max() < 1e-12
        assert (a.predict(x) == b.predict(x)).all()
    else:
        assert np.abs(a.predict(x) - b.predict(x)).max() < 1e-12
    if name != "two numbers":  # whose mean over the outputs scikit-learn reports
        assert np.abs(np.subtract(a.loss_curve_, b.loss_curve_)).max() < 1e-12
        assert abs(a.best_loss_ - b.best_loss_) < 1e-12
        assert abs(a.loss_ - b.loss_) < 1e-12
    assert b.out_activation_ == OUTPUT[name]


@pytest.mark.parametrize("name", ["two classes", "a number"])
def test_early_stopping_ends_when_scikit_learn_does_with_the_same_weights(name):
    x, y, theirs, ours = case(name)
    options = {"early_stopping": True, "learning_rate_init": 0.1, "random_state": 1, "tol": 1e-3}
    a = theirs(solver="sgd", momentum=0.0, n_iter_no_change=4, **options).fit(x, y)
    b = ours(optimizer="SGD", n_iter_no_change=4, **options).fit(x, y)
    assert a.n_iter_ == b.n_iter_ < 200
    assert np.allclose(a.validation_scores_, b.validation_scores_, rtol=1e-12)
    assert a.best_validation_score_ == pytest.approx(b.best_validation_score_, rel=1e-12)
    assert a.best_loss_ is b.best_loss_ is None
    assert largest_difference(a, b) < 1e-12


def test_partial_fit_agrees_with_scikit_learn_over_several_calls():
    x, y, theirs, ours = case("four classes")
    options = {"batch_size": 32, "learning_rate_init": 0.1, "random_state": 0}
    a = theirs(solver="sgd", **options)
    b = ours(optimizer=partial(dl.optim.SGD, momentum=0.9, nesterov=True), **options)
    for begin in range(0, 150, 50):
        part = slice(begin, begin + 50)
        for estimator in (a, b):
            estimator.partial_fit(x[part], y[part], classes=[0, 1, 2, 3])
    assert largest_difference(a, b) < 1e-12
    assert np.allclose(a.loss_curve_, b.loss_curve_, rtol=1e-12)
    assert (a.t_, len(a.loss_curve_)) == (b.t_, len(b.loss_curve_)) == (150, 3)


@pytest.mark.parametrize("name", DATA)
def test_by_default_training_follows_scikit_learns(name):
    x, y, theirs, ours = case(name)
    a, b = (kind(random_state=0, max_iter=20).fit(x, y) for kind in (theirs, ours))
    assert np.allclose(a.predict(x), b.predict(x), atol=1e-3)  # ε has another place in its Adam
    if name != "two numbers":  # whose mean over the outputs scikit-learn reports
        assert np.allclose(a.loss_curve_, b.loss_curve_, rtol=1e-4)


def test_arguments_have_scikit_learns_names_and_defaults():
    for theirs, ours in ((TheirClassifier, MLPClassifier), (TheirRegressor, MLPRegressor)):
        known, own = (signature(kind).parameters for kind in (theirs, ours))
        assert known.keys() - own.keys() - {"loss"} == {
            *("solver", "momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon"),
            *("learning_rate", "power_t", "max_fun"),
        }
        assert {name: p.default for name, p in known.items() if name in own} == {
            name: p.default for name, p in own.items() if name in known
        }
        positional = [name for name, p in own.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert positional == ["hidden_layer_sizes", "activation"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_has_the_dtype_of_x_unless_another_is_asked_for(dtype):
    x, y, _, ours = case("two classes")
    fitted = ours(max_iter=2).fit(x.astype(dtype), y)
    assert {str(w.dtype) for w in fitted.coefs_ + fitted.intercepts_} == {dtype}
    fitted = ours(max_iter=2, dtype=dtype).fit(x, y)
    assert {str(w.dtype) for w in fitted.coefs_ + fitted.intercepts_} == {dtype}
    assert fitted.predict_proba(x).dtype == np.float64


# --- what scikit-learn's lacks ------------------------------------------------------------------


@pytest.mark.parametrize("activation", [*dl.nn.ACTIVATIONS, "logistic", "identity"])
def test_each_activation_is_that_of_the_network(activation):
    x, y, _, ours = case("a number")
    fitted = ours(5, activation, random_state=0, max_iter=2).fit(x, y)
    function = {"identity": dl.Tensor, "logistic": dl.sigmoid}.get(
        activation, getattr(dl, activation, None)
    )
    hidden = function(x @ fitted.coefs_[0] + fitted.intercepts_[0]).data
    assert np.allclose(hidden @ fitted.coefs_[1][:, 0] + fitted.intercepts_[1], fitted.predict(x))


@pytest.mark.parametrize("rule", dl.optim.RULES)
def test_each_rule_trains(rule):
    x, y, _, ours = case("a number")
    fitted = ours(8, optimizer=rule, max_iter=3, random_state=0).fit(x, y)
    assert type(fitted.optimizer_).__name__ == rule
    assert fitted.optimizer_.t == 3
    assert not np.isnan(fitted.predict(x)).any()


def test_a_schedule_gives_the_rate_of_each_step():
    x, y, _, ours = case("a number")
    schedule = dl.schedulers.CosineDecay(0.1, 8)
    fitted = ours(8, learning_rate_init=schedule, batch_size=50, max_iter=3).fit(x, y)
    assert np.allclose(fitted.history_.lr, schedule(np.arange(9)))


def test_a_plateau_reduces_the_rate_and_the_argument_stays_as_it_was():
    x, y, _, ours = case("a number")
    plateau = dl.schedulers.ReduceOnPlateau(1e-4, factor=0.5, patience=1, threshold=0.9)
    fitted = ours(8, optimizer="SGD", learning_rate_init=plateau, max_iter=5).fit(x, y)
    assert fitted.history_.lr == [1e-4] * 3 + [5e-5] * 2
    assert plateau(0) == 1e-4


def test_dropout_is_active_in_training_only_and_repeatable():
    x, y, _, ours = case("two classes")
    options = {"random_state": 0, "max_iter": 5, "dropout": 0.5}
    a, b = ours(20, **options).fit(x, y), ours(20, **options).fit(x, y)
    assert largest_difference(a, b) == 0
    assert (a.predict_proba(x) == a.predict_proba(x)).all()
    options["dropout"] = 0.0
    assert largest_difference(a, ours(20, **options).fit(x, y)) > 1e-3


def test_balanced_class_weights_are_sample_weights_of_n_over_classes_times_count():
    x, y, _, ours = case("two classes")
    x, y = x[y + np.arange(N) % 5 > 1], y[y + np.arange(N) % 5 > 1]
    weight = (len(y) / (2 * np.bincount(y)))[y]
    a = ours(5, class_weight="balanced", max_iter=5, random_state=0).fit(x, y)
    b = ours(5, max_iter=5, random_state=0).fit(x, y, sample_weight=weight)
    assert largest_difference(a, b) == 0
    c = ours(5, class_weight={0: 2.0}, max_iter=5, random_state=0).fit(x, y)
    d = ours(5, max_iter=5, random_state=0).fit(x, y, sample_weight=np.where(y, 1.0, 2.0))
    assert largest_difference(c, d) == 0


def test_class_weights_of_several_labels_multiply_as_in_scikit_learn():
    x, y, _, ours = case("three labels")
    weights = [{0: 1, 1: 2}, {0: 1, 1: 1}, {0: 3, 1: 1}]
    a = ours(5, class_weight=weights, max_iter=3, random_state=0).fit(x, y)
    by_sample = np.where(y[:, 0], 2.0, 1.0) * np.where(y[:, 2], 1.0, 3.0)
    b = ours(5, max_iter=3, random_state=0).fit(x, y, sample_weight=by_sample)
    assert largest_difference(a, b) < 1e-12


def test_samples_of_weight_0_change_nothing():
    x, y, _, ours = case("four classes")
    weight = (np.arange(N) % 3 > 0).astype(float)
    options = {"max_iter": 4, "random_state": 0, "batch_size": 16}
    a = ours(5, **options).fit(x, y, sample_weight=weight)
    b = ours(5, **options).fit(x[weight > 0], y[weight > 0])
    assert largest_difference(a, b) < 1e-12


def test_callbacks_are_those_of_fit():
    x, y, _, ours = case("a number")
    losses = []
    clip = dl.callbacks.ClipGradNorm(1e-3)
    look = [clip, lambda epoch, history: losses.append(history.loss[-1])]
    fitted = ours(5, optimizer="SGD", callbacks=look, max_iter=4, random_state=0, alpha=0)
    start = clone(fitted).set_params(learning_rate_init=1e-12, callbacks=())
    fitted.fit(x, y)
    assert losses == fitted.loss_curve_
    start.fit(x, y)
    assert 0 < largest_difference(fitted, start) <= 4 * 1e-3 * 1e-3


def test_a_callback_ends_the_training_without_a_warning(recwarn):
    x, y, _, ours = case("a number")
    fitted = ours(5, callbacks=[lambda epoch, history: epoch == 3]).fit(x, y)
    assert fitted.n_iter_ == 3
    assert not recwarn


@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
def test_a_training_that_has_not_converged_warns():
    x, y, _, ours = case("a number")
    with pytest.warns(ConvergenceWarning, match="after max_iter=3 epochs") as caught:
        ours(5, max_iter=3).fit(x, y)
    assert caught[0].filename == __file__


def test_verbose_shows_the_epochs(capsys):
    x, y, _, ours = case("a number")
    ours(5, max_iter=2).fit(x, y)
    assert capsys.readouterr() == ("", "")
    ours(5, max_iter=2, verbose=True).fit(x, y)
    assert "epoch 2" in "".join(capsys.readouterr())


def test_a_fault_at_the_end_of_a_fit_leaves_all_of_the_training_or_none_of_it():
    x, y = np.linspace(-1, 1, 20).reshape(-1, 2), np.arange(10) % 2

    def prepare():
        own = MLPClassifier(2, max_iter=1, random_state=0, warm_start=True, tol=9.0)
        return own.partial_fit(x + 1, y, classes=[0, 1])

    def look(own):
        states = own.model_.state_dict(), own.optimizer_.state_dict()
        return repr([sorted(vars(own)), states, own.t_, own.n_iter_, own.loss_curve_])

    def call(own):
        own.partial_fit(x, y)

    done, whole = prepare(), Interrupt(10**9)
    whole.run(partial(call, done))
    outcomes, seen = {look(prepare()), look(done)}, set()
    for at in range(whole.passed - 150, whole.passed + 1, 5):
        own = prepare()
        interrupted(partial(call, own), at)
        seen.add(look(own))
    assert seen == outcomes


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_training_that_is_interrupted_is_kept_with_a_warning():
    x, y, _, ours = case("a number")

    def interrupt(epoch, history):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="the training was interrupted by Ctrl-C"):
        fitted = ours(5, callbacks=[interrupt]).fit(x, y)
    assert fitted.n_iter_ == 2
    assert np.isfinite(fitted.predict(x)).all()


def test_warm_start_goes_on_where_the_last_fit_ended():
    x, y, _, ours = case("a number")
    options = {"hidden_layer_sizes": 5, "optimizer": "SGD", "random_state": 0}
    options |= {"shuffle": False, "batch_size": 32}
    whole = ours(max_iter=6, **options).fit(x, y)
    parts = ours(max_iter=3, warm_start=True, **options).fit(x, y)
    parts.fit(x, y)
    assert largest_difference(whole, parts) == 0
    assert parts.loss_curve_ == whole.loss_curve_
    assert (parts.n_iter_, parts.t_) == (3, 6 * N)
    with pytest.raises(ValueError, match=r"made for \(\[5\], 'relu', 0.0\), but the arguments now"):
        parts.set_params(hidden_layer_sizes=6).fit(x, y)


# --- data and tools -----------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_sparse_and_dense_x_give_the_same_network(early_stopping):
    x, y, _, ours = case("two classes")
    x = np.where(x > 0.5, x, 0)
    options = {"batch_size": 32, "max_iter": 4, "random_state": 0}
    options["early_stopping"] = early_stopping
    a, b = ours(5, **options).fit(x, y), ours(5, **options).fit(csr_array(x), y)
    assert largest_difference(a, b) < 1e-12
    assert np.allclose(a.predict_proba(x), b.predict_proba(csr_array(x)), rtol=1e-12)


def test_columns_of_a_data_frame_are_named_and_those_of_another_refused():
    x, y, _, ours = case("two classes")
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(8)])
    fitted = ours(5, max_iter=2).fit(frame, pd.Series(y).map({0: "no", 1: "yes"}))
    assert fitted.feature_names_in_.tolist() == list(frame)
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert set(fitted.predict(frame)) <= {"no", "yes"}
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame[reversed(list(frame))])


def test_the_last_hidden_layer_comes_out_as_a_data_frame():
    x, y, _, ours = case("two classes")
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(8)])
    fitted = ours((6, 3), "tanh", max_iter=2).set_output(transform="pandas").fit(frame, y)
    hidden = fitted.transform(frame)
    assert list(hidden) == ["mlpclassifier0", "mlpclassifier1", "mlpclassifier2"]
    first = np.tanh(x @ fitted.coefs_[0] + fitted.intercepts_[0])
    assert np.allclose(hidden, np.tanh(first @ fitted.coefs_[1] + fitted.intercepts_[1]))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from Python 3.12 on
def test_grids_are_searched_in_two_processes_through_a_pipeline():
    x, y, _, ours = case("two classes")
    network = ours(5, max_iter=5, random_state=0)
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), network)
    rates = [0.1, dl.schedulers.CosineDecay(0.1, 10)]
    grid = {"optimizer": ["SGD", partial(dl.optim.SGD, momentum=0.9)], "learning_rate_init": rates}
    grid = {f"mlpclassifier__{name}": values for name, values in grid.items()}
    with parallel_config("multiprocessing"):  # its processes start faster than the default ones
        search = GridSearchCV(pipe, grid, cv=2, n_jobs=2, error_score="raise").fit(x, y)
    alone = GridSearchCV(pipe, grid, cv=2).fit(x, y)
    scores, expected = (s.cv_results_["mean_test_score"] for s in (search, alone))
    assert scores.tolist() == expected.tolist()
    assert search.best_estimator_[-1].feature_names_in_[0] == "x0"
    assert (cross_val_score(search.best_estimator_, x, y, cv=2) > 0.3).all()


def test_a_pickled_estimator_predicts_and_trains_on_as_before():
    x, y, _, ours = case("four classes")
    options = {"random_state": 0, "warm_start": True, "max_iter": 3, "dropout": 0.2}
    fitted = ours(5, **options).fit(x, y)
    copied = pickle.loads(pickle.dumps(fitted))
    assert (copied.predict_proba(x) == fitted.predict_proba(x)).all()
    assert largest_difference(copied.fit(x, y), fitted.fit(x, y)) == 0
    assert largest_difference(copied.partial_fit(x, y), fitted.partial_fit(x, y)) == 0
    assert copied.loss_curve_ == fitted.loss_curve_


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_training_that_fails_leaves_what_was_learned_before(method):
    x, y, _, ours = case("two classes")
    estimator = ours(5, max_iter=3, warm_start=True, random_state=0).fit(x, y)
    before = [w.copy() for w in (*estimator.coefs_, *estimator.intercepts_)], estimator.loss_curve_
    state = repr(estimator.optimizer_.state_dict())

    def fail(epoch, history):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        getattr(estimator.set_params(callbacks=[fail]), method)(x, y)
    after = [*estimator.coefs_, *estimator.intercepts_], estimator.loss_curve_
    np.testing.assert_equal(after, before)
    assert repr(estimator.optimizer_.state_dict()) == state


def test_a_fitted_estimator_is_shown_in_a_notebook_with_its_arguments():
    x, y, _, ours = case("a number")
    estimator = ours(5, "gelu", max_iter=2)
    assert repr(estimator) == "MLPRegressor(activation='gelu', hidden_layer_sizes=5, max_iter=2)"
    for shown in (estimator, estimator.fit(x, y)):
        html = shown._repr_html_()
        assert "MLPRegressor" in html
        assert "gelu" in html


@pytest.mark.parametrize("name", ["four classes", "a number"])
def test_emlearn_converts_what_was_trained(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where it leaves files
    with np.errstate():  # which emlearn changes
        emlearn = pytest.importorskip("emlearn")
    x, y, _, ours = case(name)
    fitted = ours((6, 4), "relu", max_iter=30, random_state=0).fit(x, y)
    kind = "classifier" if is_classifier(fitted) else "regressor"
    predicted = emlearn.convert(fitted, return_type=kind).predict(x)
    assert np.allclose(np.ravel(predicted), fitted.predict(x), atol=1e-4)


def test_fits_in_threads_have_their_own_dtype():
    x, y, _, ours = case("a number")
    estimators = [ours(8, dtype=d, max_iter=60, random_state=0) for d in ("float32", "float64")] * 2
    alone = [clone(estimator).fit(x, y) for estimator in estimators]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda estimator: estimator.fit(x, y), estimators))
    for a, b in zip(alone, together, strict=True):
        assert largest_difference(a, b) == 0
        assert a.coefs_[0].dtype == b.coefs_[0].dtype


# --- a network of one's own ---------------------------------------------------------------------


def test_the_loss_says_whether_an_estimator_classifies():
    for loss in ("cross_entropy", dl.losses.binary_cross_entropy, dl.losses.CrossEntropy()):
        assert is_classifier(Estimator(Network, loss))
    for loss in ("mse", dl.losses.huber, dl.losses.MAE(), lambda p, y: dl.sum(p - y)):
        estimator = Estimator(Network, loss)
        assert is_regressor(estimator)
        assert not hasattr(estimator, "predict_proba")
    assert is_classifier(Estimator(Network, lambda p, y: dl.sum(p), task="classification"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])  # of x; the module stays as it is
def test_an_estimator_trains_a_copy_of_a_module_as_fit_does(dtype):
    x, y, _, _ = case("two numbers")
    model = dl.nn.MLP([8, 5, 2], rng=0)
    options = {"optimizer": "SGD", "max_iter": 4, "shuffle": False, "batch_size": 40}
    fitted = Estimator(model, dl.losses.huber, **options).fit(x.astype(dtype), y)
    data = dl.data.DataLoader(x, y.astype("float32"), 40, shuffle=False)
    before = model.state_dict()
    history = dl.fit(
        *(model, dl.losses.huber, dl.optim.SGD(model, lr=1e-3), data), epochs=4, progress=False
    )
    assert fitted.loss_curve_ == history.loss
    assert (fitted.predict(x) == dl.predict(model, x)).all()
    assert not (before["dense1.weight"] == model.state_dict()["dense1.weight"]).all()


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_an_estimator_predicts_names_of_classes_with_probabilities(loss):
    x, y, _, _ = case("two classes")
    names = np.array(["no", "yes"])[y]
    fitted = Estimator(Network, loss, learning_rate_init=0.01, random_state=0).fit(x, names)
    assert fitted.score(x, names) > 0.9
    p, d = fitted.predict_proba(x), fitted.decision_function(x)
    assert np.allclose(p.sum(axis=1), 1)
    assert np.allclose(p[:, 1], 1 / (1 + np.exp(-d)))
    assert ((d > 0) == (fitted.predict(x) == "yes")).all()
    assert np.allclose(np.exp(fitted.predict_log_proba(x)), p)


def test_a_loss_of_ones_own_gets_class_numbers():
    x, y, _, _ = case("four classes")
    seen = set()

    def loss(outputs, y):
        seen.update(y.tolist())
        return dl.losses.cross_entropy(outputs, y)

    options = {"task": "classification", "random_state": 0, "max_iter": 3}
    a = Estimator(Network, loss, **options).fit(x, np.array(list("abcd"))[y])
    b = Estimator(Network, "cross_entropy", random_state=0, max_iter=3).fit(x, y)
    assert seen == {0, 1, 2, 3}
    assert a.loss_curve_ == b.loss_curve_


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "rleu"}, "activation must be one of 'identity', 'logistic', 'relu'"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be a whole number ≥ 1, got 0"),
        ({"alpha": -1.0}, "alpha must be a finite number ≥ 0, got -1.0"),
        ({"dropout": 1.0}, "dropout must be a finite number ≥ 0 and < 1, got 1.0"),
        ({"optimizer": "adm"}, "optimizer must be one of"),
        ({"optimizer": 3}, 'optimizer must be the name of a rule such as "Adam", or a function'),
        ({"batch_size": 0}, "batch_size must be a whole number ≥ 1, got 0"),
        ({"max_iter": 0}, "max_iter must be a whole number ≥ 1, got 0"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be a whole number ≥ 1, got 0"),
        ({"shuffle": 1}, "shuffle must be True or False, got 1"),
        ({"dtype": "float16"}, "dtype must be one of 'auto', 'float32', 'float64'"),
        ({"validation_fraction": 1.0}, "validation_fraction must be a finite number > 0 and < 1"),
        ({"learning_rate_init": -1}, "learning_rate_init must be a finite number ≥ 0, got -1"),
        ({"callbacks": print}, r"callbacks must be a list of dl.callbacks or functions"),
        ({"callbacks": [3]}, r"callbacks must be a list of dl.callbacks .*, got \[3\]$"),
        ({"verbose": "no"}, "verbose must be a whole number ≥ 0, got 'no'"),
        ({"class_weight": {0: -1.0, 1: 1.0}}, r"class_weight must hold finite numbers ≥ 0, got"),
        ({"class_weight": {0: np.nan, 1: 1.0}}, r"class_weight must hold finite numbers ≥ 0, got"),
    ],
)
def test_an_argument_that_cannot_be_is_refused_and_nothing_is_fitted(options, message):
    x, y, _, ours = case("two classes")
    estimator = ours(**options)
    with pytest.raises((TypeError, ValueError), match=f"^MLPClassifier: {message}"):
        estimator.fit(x, y)
    with pytest.raises(NotFittedError):
        estimator.predict(x)


def test_data_that_do_not_fit_are_refused():
    x, y, _, ours = case("four classes")
    with pytest.raises(ValueError, match="needs samples of at least 2 classes, but y has one"):
        ours().fit(x, np.zeros(N))
    with pytest.raises(ValueError, match="give every sample weight 0"):
        ours(class_weight=dict.fromkeys(range(4), 0)).fit(x, y)
    with pytest.raises(ValueError, match=r"the first call of partial_fit needs classes"):
        ours().partial_fit(x, y)
    with pytest.raises(ValueError, match='class_weight="balanced" needs all samples at once'):
        ours(class_weight="balanced").partial_fit(x, y, classes=[0, 1, 2, 3])
    with pytest.raises(ValueError, match="early_stopping=True can't end early"):
        ours(early_stopping=True).partial_fit(x, y, classes=[0, 1, 2, 3])
    fitted = ours(3).partial_fit(x, y, classes=[0, 1, 2, 3])
    before = pickle.dumps(fitted.coefs_)
    with pytest.raises(ValueError, match=r"y has labels \[4\], which are not among its classes"):
        fitted.partial_fit(x, y + 1)
    with pytest.raises(ValueError, match="are not those of the first call"):
        fitted.partial_fit(x, y, classes=[0, 1])
    assert pickle.dumps(fitted.coefs_) == before
    x, y, _, ours = case("two numbers")
    fitted = ours(3).partial_fit(x, y)
    with pytest.raises(ValueError, match="y has 1 outputs, but the network was made for 2"):
        fitted.partial_fit(x, y[:, 0])


@pytest.mark.parametrize(
    ("module", "loss", "name", "message"),
    [
        (3, "mse", "a number", "module must be a Module, or a function"),
        (lambda i, o, rng: 3, "mse", "a number", "returns one, got .* which returned 3"),
        (dl.nn.MLP([8, 5]), "cross_entropy", "four classes", r"return shape \(n, 4\) .* \(n, 5\)"),
        (dl.nn.MLP([8, 1]), "cross_entropy", "two classes", r"return shape \(n, 2\) .* \(n, 1\)"),
        (dl.nn.MLP([8, 2]), "mse", "a number", r"return shape \(n, 1\) .* returns \(n, 2\)"),
        (Network, "msee", "a number", "loss must be one of 'mse'.* Did you mean 'mse'"),
        (Network, "binary_cross_entropy", "four classes", 'use loss="cross_entropy"'),
        (Network, "cross_entropy", "three labels", 'use loss="binary_cross_entropy"'),
    ],
)
def test_a_network_or_loss_that_does_not_fit_is_refused(module, loss, name, message):
    x, y, _, _ = case(name)
    with pytest.raises((TypeError, ValueError), match=message):
        Estimator(module, loss).fit(x, y)


def test_class_weights_of_numbers_are_refused():
    x, y, _, _ = case("a number")
    with pytest.raises(ValueError, match="class_weight is for labels, but with loss='mse'"):
        Estimator(Network, "mse", class_weight="balanced").fit(x, y)


def test_a_training_that_diverges_is_an_error_with_its_record():
    x, y, _, ours = case("a number")
    with pytest.raises(dl.DivergenceError, match="the loss became") as error:
        ours(5, optimizer="SGD", learning_rate_init=1e5).fit(x, y)
    assert error.value.history.step_loss
