"""Models as functions of NumPy."""

import runpy
import subprocess
import sys

import exporting
import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.export import to_numpy


def exported(case, folder):
    """The function predict of a file."""
    to_numpy(case.model, folder / "model.py", example=case.x)
    return runpy.run_path(folder / "model.py")["predict"]


@pytest.mark.parametrize("name", exporting.FUNCTIONS)
def test_the_file_computes_every_function_to_four_roundings(name, tmp_path):
    case = exporting.function(name)
    y = exported(case, tmp_path)(case.x)
    assert y.dtype == np.float32
    assert np.all(np.abs(y - case.right) <= 4 * 2**-24 * case.scale)


@pytest.mark.parametrize("activation", exporting.ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-6), ("float64", 1e-13)])
def test_the_file_predicts_what_the_model_predicts(activation, dtype, bound, tmp_path):
    case = exporting.network(activation, dtype)
    predict = exported(case, tmp_path)
    assert predict(case.x).dtype == dtype
    np.testing.assert_allclose(predict(case.x), case.right, rtol=0, atol=bound)
    own = dl.predict(case.model, case.x)
    np.testing.assert_allclose(predict(case.x.tolist()), own, rtol=0, atol=bound)


def test_the_file_holds_a_model_with_a_forward_of_its_own(tmp_path):
    case = exporting.residual()
    np.testing.assert_allclose(exported(case, tmp_path)(case.x), case.right, atol=1e-6)


def test_columns_are_standardized_before_they_are_rounded(tmp_path):
    x = 1e9 + np.arange(4.0).reshape(4, 1)
    model = nn.Sequential(dl.data.Standardize().fit(x), nn.Dense(1, 1, init=lambda *_: [[1.0]]))
    predict = exported(exporting.Case(model, x, None), tmp_path)
    np.testing.assert_allclose(predict(x), (np.arange(4.0)[:, None] - 1.5) / 1.25**0.5, rtol=1e-6)


def test_the_file_needs_numpy_alone_and_says_where_it_comes_from(tmp_path):
    case = exporting.network("gelu")
    to_numpy(case.model, tmp_path / "net.py")
    text = (tmp_path / "net.py").read_text()
    assert text.startswith(f'"""Sequential, exported by minidl {dl.__version__}.')
    code = (
        "import sys; sys.modules['minidl'] = None; import net, numpy as np; "
        "print(net.predict(np.ones((5, 3))).shape)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("(5, 4)\n", "")


def test_the_file_checks_the_shape_of_its_input(tmp_path):
    predict = exported(exporting.network("tanh"), tmp_path)
    with pytest.raises(ValueError, match=r"predict expects x of shape \(N, 3\), got \(3,\)"):
        predict(np.ones(3))
    assert predict(np.ones((0, 3))).shape == (0, 4)


def test_after_an_error_the_old_file_is_there(tmp_path):
    path = tmp_path / "model.py"
    to_numpy(nn.MLP([2, 1], rng=0), path)
    before = path.read_bytes()
    model = nn.Sequential(nn.Dense(2, 2), exporting.Function(lambda x: x.max(1, keepdims=True)))
    with pytest.raises(TypeError, match="to_numpy: max in function1 can't be exported"):
        to_numpy(model, path)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match=r"to_numpy: the name must end in \.py"):
        to_numpy(nn.MLP([2, 1]), tmp_path / "model.txt")
    assert list(tmp_path.iterdir()) == [path]
