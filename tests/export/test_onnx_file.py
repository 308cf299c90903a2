"""Models as files of ONNX, which onnxruntime runs."""

import sys

import exporting
import numpy as np
import pytest

import minidl as dl
from minidl import nn
from minidl.export import to_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def session(case, folder):
    """A file in onnxruntime."""
    to_onnx(case.model, folder / "model.onnx", case.x)
    return onnxruntime.InferenceSession(folder / "model.onnx")


def outputs(case, folder):
    """What onnxruntime gives."""
    (y,) = session(case, folder).run(["y"], {"x": case.x})
    return y


@pytest.mark.parametrize("name", exporting.FUNCTIONS)
def test_onnxruntime_agrees_to_1e_6_on_every_function(name, tmp_path):
    case = exporting.function(name)
    y = outputs(case, tmp_path)
    assert y.dtype == np.float32
    assert np.all(np.abs(y - case.right) <= 1e-6 * case.scale)


@pytest.mark.parametrize("activation", exporting.ACTIVATIONS)
def test_onnxruntime_agrees_to_1e_6_on_networks_of_every_activation(activation, tmp_path):
    case = exporting.network(activation)
    y = outputs(case, tmp_path)
    np.testing.assert_allclose(y, case.right, rtol=0, atol=1e-6)
    np.testing.assert_allclose(y, dl.predict(case.model, case.x), rtol=0, atol=1e-6)


def test_onnxruntime_agrees_on_a_model_with_a_forward_of_its_own(tmp_path):
    case = exporting.residual()
    np.testing.assert_allclose(outputs(case, tmp_path), case.right, rtol=0, atol=1e-6)


def test_columns_with_a_large_mean_keep_their_digits(tmp_path):
    x = (2.0**24 + np.arange(8.0)[:, None] * 2).astype(np.float32)
    scale = dl.data.Standardize().fit(x)
    scale.mean += 0.3  # which float32 can't hold there
    right = (x - scale.mean) / scale.deviation
    y = outputs(exporting.Case(scale, x, right), tmp_path)
    np.testing.assert_array_equal(y, right.astype(np.float32), strict=True)


def test_a_float64_model_stays_one(tmp_path):
    case = exporting.network("tanh", "float64")
    y = outputs(case, tmp_path)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, case.right, rtol=0, atol=1e-14)


def test_the_file_takes_any_number_of_samples_and_no_other_number_of_columns(tmp_path):
    run = session(exporting.network("relu"), tmp_path)
    (x,), (y,) = run.get_inputs(), run.get_outputs()
    assert (x.name, x.shape, y.name, y.shape) == ("x", ["N", 3], "y", ["N", 4])
    for n in (0, 1, 7):
        assert run.run(None, {"x": np.ones((n, 3), np.float32)})[0].shape == (n, 4)
    with pytest.raises(Exception, match="Got: 4 Expected: 3"):
        run.run(None, {"x": np.ones((1, 4), np.float32)})


def test_the_file_passes_the_checker_and_says_where_it_comes_from(tmp_path):
    to_onnx(nn.MLP([3, 4, 1]), tmp_path / "net.onnx", np.zeros((1, 3)))
    model = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, model.producer_version) == ("minidl", dl.__version__)
    assert model.doc_string == f"MLP, exported by minidl {dl.__version__}"
    assert [(s.domain, s.version) for s in model.opset_import] == [("", 20)]
    assert [node.op_type for node in model.graph.node] == ["Gemm", "Relu", "Gemm"]


def test_without_onnx_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'minidl\[onnx\]'"):
        to_onnx(nn.MLP([3, 1]), tmp_path / "net.onnx", np.zeros((1, 3)))


def test_what_can_not_be_exported_leaves_no_file(tmp_path):
    model = exporting.Function(lambda x: x.max(1, keepdims=True))
    with pytest.raises(TypeError, match="to_onnx: max can't be exported"):
        to_onnx(model, tmp_path / "net.onnx", np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"to_onnx: the name must end in \.onnx"):
        to_onnx(nn.MLP([3, 1]), tmp_path / "net.pb", np.zeros((1, 3)))
    assert list(tmp_path.iterdir()) == []
