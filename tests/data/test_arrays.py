"""Inputs and targets as arrays: what is taken as it is, what is converted, what is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import minidl as dl
from minidl.data import DataLoader

A, B, Y = np.arange(24.0).reshape(12, 2), np.arange(36.0).reshape(12, 3), np.arange(12)


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        ([[1, 2], [3, 4]], int),
        (([1.0, 2.0], [3.0, 4.0]), float),
        (np.ones((2, 2), np.float32), np.float32),
        (np.ones((2, 2), bool), bool),
        (np.ones((2, 2), np.uint8), np.uint8),
        (dl.Tensor([[1.0, 2.0], [3.0, 4.0]]), np.float32),
        (dl.Tensor(np.ones((2, 2)), requires_grad=True), float),
    ],
)
def test_lists_arrays_and_tensors_become_arrays_of_their_dtype(x, dtype):
    ((a, b),) = DataLoader(x, [0, 1])
    assert type(a) is type(b) is np.ndarray
    assert (a.shape, a.dtype) == ((2, 2), dtype)
    if isinstance(x, dl.Tensor):
        assert np.shares_memory(a, x.data)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (np.ones((3, 2)), np.ones(4), ValueError, "x has 3 samples but y has 4"),
        (np.ones((2, 3)), np.ones(3), ValueError, "x has 2 samples but y has 3"),
        ([], [], ValueError, "no samples"),
        (np.ones((0, 2)), np.ones(0), ValueError, "no samples"),
        (1.0, [1.0], ValueError, "x must hold samples along its first axis"),
        ([1.0], 1.0, ValueError, "y must hold samples along its first axis"),
        (["a", "b"], [1, 2], TypeError, "x must hold numbers"),
        ("ab", [1, 2], TypeError, "x must hold numbers"),
        ([1, 2], None, TypeError, "y must hold numbers"),
        ([1, 2], [None, 1], TypeError, "y must hold numbers"),
        ([1, 2], [1j, 1], TypeError, "y must hold numbers"),
        ([[1], [2, 3]], [1, 2], ValueError, "x can't be converted to an array"),
    ],
)
def test_invalid_data_is_named(x, y, error, message):
    with pytest.raises(error, match=f"DataLoader: .*{message}"):
        DataLoader(x, y)


MASKED = np.ma.array([1.0, 1e9], mask=[False, True])


@pytest.mark.parametrize(
    "masked",
    [
        *(MASKED, MASKED[:, None], np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1.0, 2.0])),
        *([MASKED, np.ones(2)], (np.ones(2), MASKED), [1.0, np.ma.masked]),
        *([[MASKED[0]], [np.ma.masked]], [(1.0,), (np.ma.masked,)]),
    ],
)
def test_a_masked_array_is_an_error_that_says_how_to_drop_the_mask(masked):
    for name, pair in (("x", (masked, [0, 1])), ("y", ([0, 1], masked))):
        message = (
            rf"DataLoader: {name}(\[1\])? holds a masked array: fill or drop its masked entries"
        )
        with pytest.raises(TypeError, match=message):
            DataLoader(*pair)
    assert DataLoader(MASKED.filled(0.0), MASKED.compressed().repeat(2)).x.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", "UInt8"])
def test_missing_values_of_pandas_are_an_error_and_the_rest_is_converted(dtype):
    pandas = pytest.importorskip("pandas")
    values = [1, 0, None]
    for make in (
        lambda v: pandas.array(v, dtype=dtype),
        lambda v: pandas.Series(v, dtype=dtype),
        lambda v: pandas.DataFrame({"a": [1.0] * len(v), "b": pandas.array(v, dtype=dtype)}),
    ):
        message = r"DataLoader: x holds missing values: fill or drop them first, .*x.fillna\(0"
        with pytest.raises(TypeError, match=message):
            DataLoader(make(values), [1, 2, 3])
    whole = pandas.Series([1, 0, 1], dtype=dtype)
    assert DataLoader(whole, [1, 2, 3]).x.tolist() == [1, 0, 1]
    assert DataLoader(whole.to_frame(), [1, 2, 3]).x.tolist() == [[1], [0], [1]]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float32", "float64"])
def test_pandas_data_with_numpys_dtypes_keep_them(dtype):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 0, 1], "b": [0, 0, 1]}, dtype=dtype)
    loader = DataLoader(frame, frame["a"], 2, shuffle=False)
    assert (loader.x.dtype, loader.x.shape, loader.y.dtype) == (dtype, (3, 2), dtype)
    assert [y.tolist() for _, y in loader] == [[1, 0], [1]]


def test_tables_of_nullable_columns_and_of_polars_become_batches():
    nullable = pd.DataFrame({"a": pd.array([1.5, 2.5], "Float64"), "b": pd.array([1, 2], "Int64")})
    polars = pl.DataFrame({"a": [1.5, 2.5], "b": [1, 2]})
    for table, labels in ((nullable, nullable["b"]), (polars, polars["b"])):
        loader = DataLoader(table, labels)
        np.testing.assert_array_equal(loader.x, [[1.5, 1], [2.5, 2]], strict=True)
        np.testing.assert_array_equal(loader.y, [1, 2], strict=True)
    with pytest.raises(TypeError, match=r"DataLoader: y holds missing values: .* x.drop_nulls\(\)"):
        DataLoader(polars, pl.Series([1, None]))


def test_nan_in_floating_pandas_data_stays_nan():
    pandas = pytest.importorskip("pandas")
    assert np.isnan(DataLoader(pandas.Series([1.0, np.nan]), [1, 2]).x[1])


@pytest.mark.parametrize("kind", ["csr_matrix", "coo_array", "lil_array"])
def test_a_sparse_matrix_is_an_error_that_says_how_to_make_it_dense(kind):
    sparse = pytest.importorskip("scipy.sparse")
    x = getattr(sparse, kind)(np.eye(3))
    with pytest.raises(TypeError, match=r"x must hold numbers, .*sparse.*dense, as in x.toarray"):
        DataLoader(x, [1, 2, 3])
    assert DataLoader(x.toarray(), [1, 2, 3]).x.tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(
    "values", [[1.0, None], np.array([1, None], object), np.array([1, 2.5], object)]
)
def test_arrays_of_objects_are_an_error_that_says_how_to_convert_them(values):
    with pytest.raises(TypeError, match=r"missing values such as None first, then use x.astype"):
        DataLoader(values, [1, 2])


@pytest.mark.parametrize("kind", ["U", "O"])
def test_names_are_an_error_that_says_how_to_make_numbers_of_them(kind):
    names = np.array(["no", "yes", "no"], dtype=kind)
    with pytest.raises(TypeError, match=r"y must hold numbers, .*: np.unique\(names, return_inve"):
        DataLoader([1, 2, 3], names)
    assert DataLoader([1, 2, 3], np.unique(names, return_inverse=True)[1]).y.tolist() == [0, 1, 0]
    with pytest.raises(TypeError, match=r"x must hold .*: names\[:, None\] == kinds makes a col"):
        DataLoader(names, [1, 2, 3])
    kinds = np.unique(names)
    assert DataLoader(names[:, None] == kinds, [1, 2, 3]).x.tolist() == [[1, 0], [0, 1], [1, 0]]


def test_a_tuple_of_rows_is_one_array_and_one_of_columns_several_inputs():
    rows = DataLoader(tuple(A[:3]), Y[:3])
    assert np.array_equal(rows.x, A[:3])
    columns = DataLoader(tuple(A.T), Y)
    assert [x.tolist() for x in columns.x] == A.T.tolist()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ((A, B[:11]), "the inputs in x have 12, 11 samples"),
        ({"a": A, "b": B[:11]}, "the inputs in x have 12, 11 samples"),
        ((A[:11], B[:11]), "x has 11 samples but y has 12"),
        ((A[:11], A[:11]), "x has 11 samples but y has 12"),
        ((A.tolist(), A.tolist()), "x has 2 .*several inputs must be arrays, rather than lists"),
        ((), "x holds no arrays"),
        ({}, "x holds no arrays"),
    ],
)
def test_inputs_that_do_not_fit_are_named(x, message):
    with pytest.raises(ValueError, match=f"DataLoader: {message}"):
        DataLoader(x, Y)
