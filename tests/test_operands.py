"""What stands beside a tensor: dtypes and digits, for every kind of operand in every op of two."""

import array
import fractions
import operator
import sys
import types

import numpy as np
import pandas as pd
import polars as pl
import pytest

import minidl as dl
from minidl import _operands

FLOATS = (np.float16, np.float32, np.float64)
TENTHS = [0.1, 0.7]
BIG = 1700000001
# without a floating dtype of their own: they take the tensor's, at full precision
PLAIN = {
    "a list": [0.1, 0.7],
    "a tuple": (0.1, 0.7),
    "a list of NumPy's numbers": [np.float64(0.1), np.float64(0.7)],
    "an array.array": array.array("d", TENTHS),
    "fractions": [fractions.Fraction(1, 10), fractions.Fraction(7, 10)],
    "integers": np.array([3, 5]),
    "small integers": np.array([3, 5], np.uint8),
    "booleans": np.array([True, True]),
    "a range": range(3, 7, 2),
    "an array.array of integers": array.array("i", [3, 5]),
    "a Series of integers": pd.Series([3, 5]),
    "a nullable Series": pd.Series([3, 5], dtype="Int64"),
    "an Index": pd.Index([3, 5]),
    "an array of objects": np.array([3, 5], object),
    "an integer tensor": dl.Tensor([3, 5], dtype="int64"),
}
OWN = {  # with one: they promote as in NumPy
    "float16": np.float16([0.5, 0.25]),
    "float32": np.float32(TENTHS),
    "float64": np.array(TENTHS),
    "a number of NumPy": np.float64(0.1),
    "a Series": pd.Series(TENTHS),
    "a Series of float32": pd.Series(TENTHS, dtype="float32"),
    "a nullable Series of float64": pd.Series(TENTHS, dtype="Float64"),
    "a constant tensor": dl.Tensor(np.array(TENTHS)),
    "swapped bytes": np.array(TENTHS, ">f8"),
}
OPS = {
    **{f.__name__: f for f in (operator.add, operator.sub, operator.mul, operator.truediv)},
    "pow": operator.pow,
    "matmul": operator.matmul,
    "maximum": dl.maximum,
    "minimum": dl.minimum,
    "where": lambda a, b: dl.where([True, False], a, b),
    "concatenate": lambda a, b: dl.concatenate([a, b]),
    "stack": lambda a, b: dl.stack([a, b]),
}
NUMPY = {
    "maximum": np.maximum,
    "minimum": np.minimum,
    "where": lambda a, b: np.where([True, False], a, b),
    "concatenate": lambda a, b: np.concatenate([a, b]),
    "stack": lambda a, b: np.stack([a, b]),
}


def plain(x):
    return np.asarray(x.data if isinstance(x, dl.Tensor) else x)


def test_a_table_of_pandas_promotes_as_its_columns_do():
    x = dl.Tensor(np.float32([1.0]))
    for values, dtype, beside in (
        ([0.1, 0.2], "float64", "float64"),
        ([0.1, 0.2], "float32", "float32"),
        ([1, 2], "int64", "float32"),
        ([1, 2], "Int64", "float32"),
        ([0.1, 0.2], "Float32", "float32"),
        ([0.1, 0.2], "Float64", "float64"),
        ([True, False], "bool", "float32"),
    ):
        table = pd.DataFrame({"a": values, "b": values}, dtype=dtype)
        assert (x * table).dtype == (table * x).dtype == dl.Tensor(table).dtype == beside
    mixed = pd.DataFrame({"a": [1700000001], "b": [0.1]})
    assert np.array_equal((x * mixed).data, [[1700000001, 0.1]])


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("other", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("requires_grad", [True, False])
def test_what_has_no_floating_dtype_takes_the_tensors(name, other, requires_grad):
    for dtype in FLOATS:
        x = np.array([1.5, 2.0], dtype)
        exact = np.array([float(v) for v in plain(other)])
        t, beside = dl.Tensor(x, requires_grad), exact.astype(dtype)
        f = NUMPY.get(name, OPS[name])
        pairs = [(t, other, x, beside), (other, t, beside, x)]
        if name == "matmul" and isinstance(other, pd.Series):
            pairs.pop()  # Series @ … is Series.dot, which asks for an array
        for a, b, *arrays in pairs:
            got, want = OPS[name](a, b), f(*arrays)
            assert isinstance(got, dl.Tensor)
            np.testing.assert_array_equal(got.data, want, strict=True)


@pytest.mark.parametrize("name", [name for name in OPS if name != "matmul"])
@pytest.mark.parametrize("other", OWN.values(), ids=OWN)
def test_what_has_a_floating_dtype_promotes_as_in_numpy(name, other):
    if name in ("concatenate", "stack") and np.ndim(plain(other)) == 0:
        other = np.full(2, other)
    for dtype in FLOATS:
        x = np.array([1.5, 2.0], dtype)
        f, beside = NUMPY.get(name, OPS[name]), plain(other)
        for got, want in [
            (OPS[name](dl.Tensor(x), other), f(x, beside[()])),
            (OPS[name](other, dl.Tensor(x)), f(beside[()], x)),
        ]:
            assert got.dtype == np.result_type(dtype, beside.dtype)
            np.testing.assert_allclose(got.data, want, rtol=1e-15)


@pytest.mark.parametrize("other", [[0.1], (0.1,), np.array([0.1]), pd.Series([0.1]), 0.1])
def test_a_tenth_minus_a_tenth_is_0(other):
    x = dl.Tensor(np.array([0.1]))
    for y in (x - other, other - x, dl.Tensor(np.array([0.1])) - other):
        assert y.data.tolist() == [0.0]
    assert (x == other).all()
    assert (dl.Tensor([0.1]) == [0.1]).all()  # float32 beside a list


def test_of_several_floating_dtypes_a_list_takes_the_one_that_they_promote_to():
    x, y = dl.Tensor(np.float32([0.5, 0.5])), dl.Tensor(np.array([0.5, 0.5]))
    for tensors in ([x, y, TENTHS], [y, TENTHS, x], [TENTHS, x, y]):
        stacked = dl.stack(tensors)
        assert (stacked.dtype, (stacked.data == TENTHS).all(axis=1).sum()) == (np.float64, 1)


def test_swapped_bytes_are_put_in_the_order_of_the_machine():
    swapped = np.array(TENTHS, ">f8")
    y = dl.concatenate([swapped, swapped])
    assert (y.dtype.isnative, y.data.tolist()) == (True, TENTHS * 2)
    assert _operands.beside("add", [swapped, TENTHS], False)[0].dtype.isnative


def test_large_integers_keep_the_digits_that_the_tensor_has():
    for integer in (np.int64(BIG), np.array(BIG), [BIG], BIG, pd.Series([BIG])):
        assert (dl.Tensor(np.array([BIG + 1.0])) - integer).data.tolist() == [1.0]
        assert (integer - dl.Tensor(np.array([BIG + 1.0]))).data.tolist() == [-1.0]
        assert (dl.Tensor([float(BIG)]) - integer).data.tolist() == [0.0]
    assert (dl.Tensor(np.array([2.0**53])) - [2**53 + 1]).data.tolist() == [0.0]
    assert dl.Tensor([2**70]).data.tolist() == [2.0**70]
    for too_large in ([10**400], 10**400):
        with pytest.raises(OverflowError):
            dl.Tensor([1.0]) * too_large


def test_integer_tensors_are_compared_as_integers_and_become_floats_in_ops():
    labels = dl.Tensor([2**53 + 1], dtype="int64")
    assert (labels == 2**53 + 1).all()
    assert not (labels == np.array([2**53])).any()
    assert (labels * 2).dtype == np.float32


def test_in_place_forms_and_dense_read_a_list_in_the_tensors_dtype():
    w = dl.Tensor(np.array([0.1, 0.7]), requires_grad=True)
    with dl.no_grad():
        w -= TENTHS
    assert w.data.tolist() == [0.0, 0.0]
    weight, bias = dl.Tensor(np.eye(2)), dl.Tensor(np.zeros(2))
    assert dl.tensor.dense([TENTHS], weight, bias).data.tolist() == [TENTHS]


@pytest.mark.parametrize("loss", [dl.losses.mse, dl.losses.mae])
def test_a_prediction_and_a_target_keep_the_digits_of_each_other(loss):
    wide = np.array(TENTHS)
    for p, t in [(dl.Tensor(wide), TENTHS), (TENTHS, dl.Tensor(wide)), (TENTHS, wide)]:
        assert (loss(p, t).item(), loss(p, t).dtype) == (0.0, np.float64)
    assert loss(np.float32(TENTHS), wide).dtype == np.float32  # a plain target is cast


# --- masked and missing --------------------------------------------------------------------------

MASKED = np.ma.array([1.0, 1e9], mask=[0, 1])
MISSING = {
    "masked": MASKED,
    "no entry masked": np.ma.array([1.0, 2.0]),
    "masked integers": np.ma.array([1, 2], mask=[1, 0]),
    "in a list": [MASKED, MASKED],
    "in nested lists": [[[MASKED]]],
    "the constant": [1.0, np.ma.masked],
    "nullable integers": pd.array([1, None], dtype="Int64"),
    "nullable floats": pd.Series([1.0, None], dtype="Float64"),
    "nullable booleans": pd.Series([True, None], dtype="boolean"),
    "a table": pd.DataFrame({"a": pd.array([1.0, None], dtype="Float64")}),
    "polars' integers": pl.Series([1, None]),
    "polars' floats": pl.Series([1.0, None]),
    "polars' booleans": pl.Series([True, None]),
    "a table of polars": pl.DataFrame({"a": [1.0, 2.0], "b": [1, None]}),
}
TAKES = {
    "Tensor": dl.Tensor,
    "mean": dl.mean,
    "exp": dl.exp,
    "add": lambda x: dl.Tensor([1.0, 2.0]) + x,
    "where": lambda x: dl.where(x, 1.0, 0.0),
    "maximum": lambda x: dl.maximum(x, 0.0),
    "stack": lambda x: dl.stack([dl.Tensor([1.0, 2.0]), x]),
    "index": lambda x: dl.Tensor(np.ones(9))[x],
    "less": lambda x: dl.Tensor([1.0, 2.0]) < x,
    "Dense": lambda x: dl.nn.Dense(2, 1)(x),
    "mse": lambda x: dl.losses.mse(dl.Tensor([1.0, 2.0]), x),
    "mse of": lambda x: dl.losses.mse(x, [1.0, 2.0]),
    "labels": lambda x: dl.losses.cross_entropy(np.ones((2, 3)), x),
    "logits": lambda x: dl.losses.cross_entropy(x, [0]),
    "binary targets": lambda x: dl.losses.binary_cross_entropy([0.0, 1.0], x),
    "argmax": dl.argmax,
    "backward": lambda x: (dl.Tensor([1.0, 2.0], requires_grad=True) * 1).backward(x),
    "data": lambda x: setattr(dl.Tensor([1.0, 2.0]), "data", x),
    "load": lambda x: dl.nn.Dense(2, 2).load_state_dict({"weight": np.ones((2, 2)), "bias": x}),
}


def test_data_are_read_while_another_thread_imports_numpys_masked_arrays(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy.ma", types.ModuleType("numpy.ma"))
    assert _operands.refusal(np.ones(2)) is None


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
@pytest.mark.parametrize("data", MISSING.values(), ids=MISSING)
def test_masked_and_missing_entries_are_a_type_error_that_says_what_to_do(take, data):
    with pytest.raises(
        TypeError, match=r"(a masked array|missing values): fill or drop .* x\.fill"
    ):
        take(data)


def test_a_table_of_nullable_columns_has_the_dtype_that_they_promote_to():
    columns = {"a": pd.array([0.1, 2.0], "Float32"), "b": pd.array([1, 1700000001], "Int64")}
    columns["c"] = [True, False]
    right = np.array([[np.float32(0.1), 1, 1], [2, 1700000001, 0]], np.float64)
    np.testing.assert_array_equal(dl.Tensor(pd.DataFrame(columns)).data, right, strict=True)
    with pytest.raises(TypeError, match="expected real numbers, got DataFrame"):
        dl.Tensor(pd.DataFrame({**columns, "d": ["x", "y"]}))


def test_tables_of_polars_are_read_in_the_dtype_of_their_columns():
    for values, kind, dtype in (
        ([0.1, 0.2], pl.Float32, "float32"),
        ([0.1, 0.2], pl.Float64, "float64"),
        ([1, 2], pl.Int64, "float32"),
        ([True, False], pl.Boolean, "float32"),
    ):
        table = pl.DataFrame({"a": values, "b": values}, schema={"a": kind, "b": kind})
        right = np.array([values, values]).T.astype(dtype)
        np.testing.assert_array_equal(dl.Tensor(table).data, right, strict=True)
    t = dl.Tensor(np.float32([2.0, 4.0]), requires_grad=True)
    for series, dtype in ((pl.Series([3, 5]), "float32"), (pl.Series(TENTHS), "float64")):
        want = np.array([2.0, 4.0]) * series.to_numpy()
        np.testing.assert_array_equal((t * series).data, want.astype(dtype), strict=True)
    with pytest.raises(TypeError, match=r"query that was not run: run it first, by x.collect\(\)"):
        dl.Tensor(table.lazy())
    with pytest.raises(TypeError, match="expected real numbers, got Series"):
        dl.Tensor(pl.Series(["a"]))


class OfPyTorch:
    """What minidl sees of a tensor of PyTorch that requires a gradient."""

    requires_grad, grad_fn = True, None

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


@pytest.mark.parametrize("take", TAKES.values(), ids=TAKES)
def test_a_tensor_of_pytorch_that_requires_a_gradient_is_a_type_error(take):
    with pytest.raises(TypeError, match=r"PyTorch that requires a gradient: .* by x.detach\(\)"):
        take(OfPyTorch())
    with pytest.raises(TypeError, match="PyTorch that requires a gradient"):
        take([OfPyTorch(), OfPyTorch()])


def test_tensors_of_pytorch_are_read_if_they_require_no_gradient():
    torch = pytest.importorskip("torch")
    w = torch.tensor([1.5, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="PyTorch that requires a gradient"):
        dl.Tensor(w)
    np.testing.assert_array_equal(dl.Tensor(w.detach()).data, np.float32([1.5, 2]), strict=True)
    wide = w.detach().double()
    np.testing.assert_array_equal((dl.Tensor([2.0, 2.0]) * wide).data, [3.0, 4.0], strict=True)


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "pow", "matmul"])
def test_a_masked_array_on_the_left_leaves_the_operator_to_the_tensor(name, requires_grad):
    with pytest.raises(TypeError, match="a masked array"):
        getattr(operator, name)(MASKED, dl.Tensor([1.0, 2.0], requires_grad))


def test_a_nan_of_a_plain_series_stays_nan():
    assert np.isnan(dl.Tensor(pd.Series([np.nan])).data).all()


def test_a_series_on_the_left_carries_the_gradient():
    x = dl.Tensor(np.ones(2), requires_grad=True)
    (pd.Series([2.0, 3.0]) * x).sum().backward()
    assert x.grad.tolist() == [2.0, 3.0]
    with pytest.raises(TypeError, match=r"requires a gradient.*t\.numpy\(\)"):
        pd.Series([2.0, 3.0]) @ x
    assert (pd.Series([2.0, 0.0]) < x).tolist() == [False, True]


def test_a_list_of_plain_numbers_is_not_searched_entry_by_entry():
    class Numbers(list):
        def __iter__(self):
            return super().__iter__()

    assert _operands.refusal(Numbers([1.0, 2])) is None
    assert _operands.refusal([[1.0], (2, True)]) is None
