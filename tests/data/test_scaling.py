"""Standardize: columns against exact sums and scikit-learn, in trainings and in files."""

import copy
import math
import pickle

import interrupting
import numpy as np
import pytest

import minidl as dl
from minidl.data import DataLoader, Standardize

TABLE = np.random.default_rng(5).normal([3.0, -200.0, 0.0], [2.0, 50.0, 1e-3], (40, 3))


def exact(column):
    """Mean and deviation by exact sums."""
    mean = math.fsum(column) / len(column)
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in column) / len(column))


def test_standardize_has_mean_0_and_deviation_1_on_the_data_of_fit():
    scale = Standardize().fit(TABLE)
    expected = np.array([exact(column) for column in TABLE.T.tolist()])
    assert np.allclose(scale.mean, expected[:, 0], rtol=1e-14)
    assert np.allclose(scale.deviation, expected[:, 1], rtol=1e-14)
    y = scale(TABLE)
    assert y.dtype == np.float32
    assert np.array_equal(y.data, ((TABLE - scale.mean) / scale.deviation).astype(np.float32))
    sklearn = pytest.importorskip("sklearn.preprocessing")
    assert np.allclose(y.data, sklearn.StandardScaler().fit_transform(TABLE), atol=1e-6)
    with dl.default_dtype("float64"):
        wide = Standardize()
    assert np.allclose(wide.fit(TABLE)(TABLE).data.mean(axis=0), 0, atol=1e-13)
    assert np.allclose(wide(TABLE).data.std(axis=0), 1, atol=1e-13)


def test_standardize_is_exact_far_from_zero_and_for_float32():
    x = np.random.default_rng(0).normal(1e8, 1.0, (100_000, 2))
    mean, deviation = exact(x[:, 0].tolist())
    scale = Standardize().fit(x)
    assert abs(scale.mean[0] - mean) <= np.spacing(1e8)
    assert scale.deviation[0] == pytest.approx(deviation, rel=1e-12)
    narrow = TABLE.astype(np.float32)
    assert np.array_equal(
        Standardize().fit(narrow).mean, Standardize().fit(narrow.astype(float)).mean
    )


def test_a_constant_column_becomes_0_as_in_scikit_learn():
    for value in 5.0, 0.1, 1.7e308:  # the sum of the last overflows
        scale = Standardize().fit(np.full((7, 1), value))
        assert (scale.mean.tolist(), scale.deviation.tolist()) == ([value], [1.0])
        assert scale([[value]]).item() == 0.0
    close = Standardize().fit([[1e-200], [3e-200]])  # whose squares are 0
    assert close.deviation.tolist() == [1.0]


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, dl.Tensor], ids=str)
def test_one_sample_of_any_form_is_scaled_in_both_modes(form):
    scale = Standardize().fit(form(TABLE))
    first = (TABLE[:1] - scale.mean) / scale.deviation
    for module in scale.train(), scale.eval():
        assert np.allclose(module(form(TABLE[:1])).data, first, rtol=1e-6)
        assert np.allclose(module(form(TABLE[0])).data, first[0], rtol=1e-6)
        assert module(form(TABLE[:6].reshape(2, 3, 3))).shape == (2, 3, 3)


def test_gradients_flow_through_standardize():
    scale = Standardize().fit(TABLE)
    x = dl.Tensor(TABLE[:4], requires_grad=True)
    y = scale(x)
    assert np.allclose(y.data, (TABLE[:4] - scale.mean) / scale.deviation, rtol=1e-12)
    dl.sum(y).backward()
    assert np.allclose(x.grad, np.broadcast_to(1 / scale.deviation, (4, 3)), rtol=1e-12)
    x = dl.Tensor(np.ones((2, 3)), requires_grad=True)
    other = Standardize(3).fit(TABLE)
    assert dl.gradcheck(lambda t: dl.sum(other(t) ** 2), x)
    narrow = dl.Tensor(TABLE, dtype="float32", requires_grad=True)
    assert scale(narrow).dtype == np.float32


def standardized():
    return dl.nn.Sequential(Standardize().fit(TABLE), dl.nn.Dense(3, 1, rng=0))


def test_a_model_that_begins_with_standardize_trains_captured_to_the_same_bits():
    histories = []
    for capture in True, False:
        model = standardized()
        loader = DataLoader(TABLE, TABLE[:, :1] / 100, 16, rng=0)
        optimizer = dl.optim.SGD(model, lr=0.1)
        options = {"epochs": 4, "progress": False, "capture": capture}
        histories.append(dl.fit(model, dl.losses.mse, optimizer, loader, **options).step_loss)
    assert histories[0] == histories[1]
    model = standardized()
    step = dl.capture(lambda x: dl.sum(model(x)))
    for i in range(5):
        if i == 3:
            model[0].fit(2 * TABLE)
        assert step(TABLE).item() == dl.sum(model(TABLE)).item()


@pytest.mark.parametrize("columns", [None, 3])
def test_a_standardize_that_was_never_fitted_or_loaded_trains_and_predicts_nothing(columns):
    model = dl.nn.Sequential(Standardize(columns), dl.nn.Dense(3, 1, rng=0))
    before, data = model[1].state_dict(), (TABLE, TABLE[:, :1])
    for call in (
        lambda: dl.fit(model, dl.losses.mse, dl.optim.SGD(model), data, epochs=1, progress=False),
        lambda: dl.predict(model, TABLE),
        lambda: dl.evaluate(model, data, dl.losses.mse),
        lambda: model(dl.Tensor(TABLE, requires_grad=True)),
    ):
        with pytest.raises(RuntimeError, match=r"no mean and deviation yet: call fit\(x\) with"):
            call()
    assert all(np.array_equal(x, before[name]) for name, x in model[1].state_dict().items())
    model[0].fit(TABLE)
    assert np.array_equal(dl.predict(model[0], TABLE), Standardize().fit(TABLE)(TABLE).data)


def test_a_walkthrough_shows_a_model_that_begins_with_standardize():
    model = standardized()
    with dl.trace() as record:
        dl.losses.mse(model(TABLE[:2]), TABLE[:2, :1]).backward()
    assert "dense1" in str(record)


def test_a_saved_standardize_is_loaded_into_one_with_as_many_features():
    model = standardized()
    new = dl.nn.Sequential(Standardize(3), dl.nn.Dense(3, 1, rng=1))
    with pytest.raises(
        RuntimeError, match=r"call fit\(x\) with the training data, or load a saved"
    ):
        new(TABLE)
    new.load_state_dict(model.state_dict())
    assert np.array_equal(new(TABLE).data, model(TABLE).data)
    assert new[0].mean.dtype == new[0].deviation.dtype == np.float64
    for other in copy.deepcopy(model), pickle.loads(pickle.dumps(model)):
        assert np.array_equal(other(TABLE).data, model(TABLE).data)
    for unfitted in Standardize(), dl.nn.Sequential(Standardize(), dl.nn.Dense(3, 1)):
        saved = model[0] if isinstance(unfitted, Standardize) else model
        with pytest.raises(ValueError, match=r"make it with their number, Standardize\(features\)"):
            unfitted.load_state_dict(saved.state_dict())
    with pytest.raises(ValueError, match=r"the parameters of Sequential are [\w., ]*$"):
        model.load_state_dict({**model.state_dict(), "other": 1.0})


@interrupting.FAILURES
@pytest.mark.parametrize("columns", [None, 3])
def test_an_interrupted_fit_leaves_both_mean_and_deviation_as_before_or_fitted(columns, failures):
    interrupting.assert_all_or_nothing(
        *(failures, lambda: Standardize(columns), lambda scale: scale.fit(TABLE)), vars, every=3
    )


def test_standardize_can_be_fitted_again_but_not_to_other_columns():
    scale = Standardize(3).fit(TABLE).fit(2 * TABLE)
    assert np.allclose(scale.mean, 2 * TABLE.mean(axis=0))
    before = scale.state_dict()
    for bad in (TABLE[:, :2], TABLE[0], np.where(TABLE > 0, np.nan, TABLE)):
        with pytest.raises(ValueError, match="Standardize"):
            scale.fit(bad)
    for name, values in scale.state_dict().items():
        assert np.array_equal(values, before[name])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1.0, 2.0], r"columns \(N, features\), got shape \(2,\); x.reshape\(-1, 1\)"),
        (np.ones((0, 3)), "holds no samples"),
        ([[1.0, np.nan, np.inf], [1.0, 2.0, 3.0]], "NaN or infinity in column 1, 2;"),
        ([[1e200, 1.0], [-1e200, 2.0]], "too large numbers in column 0;"),
        ([[1.7e308], [1.7e308], [1.0]], "too large numbers in column 0;"),
    ],
)
def test_data_that_standardize_cannot_take_are_named(x, message):
    with pytest.raises(ValueError, match=f"Standardize: .*{message}"):
        Standardize().fit(x)


def test_standardize_without_fit_or_with_other_columns_is_an_error():
    with pytest.raises(RuntimeError, match=r"call fit\(x\) with the training data"):
        Standardize()(TABLE)
    for x in (TABLE[:, :2], np.ones(2), 1.0):
        with pytest.raises(ValueError, match=r"expects input of shape \(…, 3\), got \("):
            Standardize().fit(TABLE)(x)
    with pytest.raises(TypeError, match="masked array"):
        Standardize().fit(TABLE)(np.ma.array(TABLE, mask=TABLE > 0))
    with pytest.raises(ValueError, match="Standardize: features must be a whole number ≥ 1"):
        Standardize(0)


def test_standardized_columns_are_those_of_scikit_learn():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    x = np.random.default_rng(0).normal(1e6, 2, (50, 3))
    x[:, 1] = 0.1  # constant, with a mean that rounding moves
    with dl.default_dtype("float64"):
        y = Standardize().fit(x)(x)
    np.testing.assert_allclose(
        y.numpy(), preprocessing.StandardScaler().fit_transform(x), atol=1e-9
    )
    assert not y.numpy()[:, 1].any()


def test_standardize_rounds_once_after_float64():
    x = 1e8 + np.arange(4.0).reshape(-1, 1)  # float32 can't tell these apart
    y = Standardize().fit(x)(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy().ravel(), np.array([-3, -1, 1, 3]) / 5**0.5, rtol=1e-7)


def test_all_axes_but_the_last_are_samples():
    x = np.random.default_rng(0).normal(size=(4, 5, 2))
    scale = Standardize().fit(x)
    np.testing.assert_allclose(scale.mean, x.reshape(-1, 2).mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(scale.deviation, x.reshape(-1, 2).std(axis=0), rtol=1e-13)
    assert scale(x).shape == (4, 5, 2)


def test_gradients_through_standardize_are_divided_by_the_deviation():
    scale = Standardize().fit([[0.0, 1.0], [4.0, 2.0]])  # deviations 2 and ½
    x = dl.Tensor([[1.0, 1.0]], requires_grad=True)
    scale(x).sum().backward()
    assert x.grad.tolist() == [[0.5, 2.0]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_captured_steps_standardize_each_batch(dtype):
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 9, (8, 2)).astype(dtype) for _ in range(3)]

    def losses(wrap):
        model = dl.nn.Sequential(
            Standardize().fit(np.concatenate(batches)), dl.nn.Dense(2, 1, rng=0)
        )
        optimizer = dl.optim.SGD(model.parameters(), 0.1)

        def step(x, y):
            loss = dl.losses.mse(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        y = np.ones((8, 1), np.float32)
        return [float(step(x, y)) for x in batches * 2]

    assert losses(dl.capture) == losses(lambda step: step)
