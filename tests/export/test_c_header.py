"""Models as headers of C, compiled and run."""

import re
import shutil
import subprocess

import exporting
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl import nn
from minidl.export import c_header, to_c
from minidl.export.graph import Graph, Step

NAMES = {f"f_{name}": name for name in exporting.FUNCTIONS}
STRICT = "-Wall", "-Wextra", "-Werror", "-pedantic"
needs_cc = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler cc")


def compiles(folder, compiler, *flags):
    """Compile main.c without linking; fails with what the compiler says."""
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler}")
    command = [compiler, *STRICT, *flags, "-c", "main.c", "-o", "main.o"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def one(case, folder, name="net"):
    """The text of the header of one case, beside a main.c that uses it."""
    to_c(case.model, folder / "net.h", name=name, example=case.x)
    body = f"static float x[{case.x.shape[1]}], y[{case.right.shape[1]}];\nint main(void) {{"
    (folder / "main.c").write_text(f'#include "net.h"\n{body} {name}(x, y); return y[0] > 0; }}\n')
    return (folder / "net.h").read_text()


@pytest.fixture(scope="module")
def cases():
    cases = {full: exporting.function(name) for full, name in NAMES.items()}
    networks = {f"net_{name}": exporting.network(name) for name in exporting.ACTIVATIONS}
    return {**cases, **networks, "residual": exporting.residual()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the headers of all cases lie, and a main.c that uses them."""
    return tmp_path_factory.mktemp("c")


@pytest.fixture(scope="module")
def in_c(cases, folder):
    """The outputs of all headers, from one program."""
    return exporting.run_in_c(cases, folder)


# --- values -------------------------------------------------------------------------------------


@needs_cc
@pytest.mark.parametrize("name", NAMES)
def test_a_function_in_c_is_exact_to_four_roundings(name, cases, in_c):
    case = cases[name]
    assert np.all(np.abs(in_c[name] - case.right) <= 4 * 2**-24 * case.scale)


@needs_cc
@pytest.mark.parametrize("activation", exporting.ACTIVATIONS)
def test_a_network_in_c_agrees_with_the_model(activation, cases, in_c):
    case, y = cases[f"net_{activation}"], in_c[f"net_{activation}"]
    np.testing.assert_allclose(y, case.right, rtol=0, atol=1e-6)
    np.testing.assert_allclose(y, dl.predict(case.model, case.x), rtol=0, atol=1e-6)


@needs_cc
def test_a_model_with_a_forward_of_its_own_agrees(cases, in_c):
    np.testing.assert_allclose(in_c["residual"], cases["residual"].right, rtol=0, atol=1e-6)


@needs_cc
def test_a_dense_layer_has_the_rounding_errors_of_its_sums_and_no_others(rng, tmp_path):
    layer = nn.Dense(300, 5, rng=rng)
    layer.bias.data = rng.normal(size=5)
    x = rng.normal(size=(20, 300)).astype(np.float32)
    weight, bias = (p.data.astype(np.float64) for p in layer.parameters())
    case = exporting.Case(layer, x, x @ weight + bias)
    error = np.abs(exporting.run_in_c({"net": case}, tmp_path)["net"] - case.right)
    terms = np.abs(x) @ np.abs(weight) + np.abs(bias)
    assert np.all(error <= 302 * 2**-24 * terms)
    assert np.all(error <= 1e-5)


@needs_cc
def test_columns_with_a_large_mean_keep_their_digits(tmp_path):
    x = (2.0**24 + np.arange(8.0)[:, None] * 2).astype(np.float32)
    scale = dl.data.Standardize().fit(x)
    scale.mean += 0.3  # which float32 can't hold there
    right = (x - scale.mean) / scale.deviation
    y = exporting.run_in_c({"net": exporting.Case(scale, x, right)}, tmp_path)["net"]
    np.testing.assert_allclose(y, right, rtol=4 * 2**-24)


@needs_cc
@pytest.mark.usefixtures("in_c")
def test_nan_stays_nan(cases, folder):
    cases = {name: case._replace(x=np.full_like(case.x, np.nan)) for name, case in cases.items()}
    outputs = exporting.run_again(cases, folder)
    for name in (*exporting.UNARY, "maximum", "minimum"):
        assert np.isnan(outputs[f"f_{name}"]).all(), name


def test_every_weight_is_in_the_header_to_the_bit(tmp_path):
    case = exporting.network("elu")
    text = one(case, tmp_path)
    arrays = re.findall(r"\[\d+\] = \{(.*?)\}", text, re.S)
    found = [np.array([float.fromhex(x[:-1]) for x in re.findall(r"[-\w.+]+f", a)]) for a in arrays]
    state = case.model.state_dict()
    mean, deviation = state["standardize1.mean"], state["standardize1.deviation"]
    np.testing.assert_allclose(found[0] + found[1], mean, rtol=2**-47)
    right = [
        deviation.astype(np.float32),
        state["dense1.weight"].T,
        state["dense1.bias"],
        state["sequential1.dense1.weight"].T,
        state["dense2.weight"].T,
        state["dense2.bias"],
    ]
    for own, array in zip(found[2:], right, strict=True):
        np.testing.assert_array_equal(own, array.ravel())


# --- the header ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compiler", "flags"),
    [
        ("gcc", ["-std=c99", "-O2", "-Wconversion", "-Wdouble-promotion"]),
        ("clang", ["-std=c99"]),
        ("arm-none-eabi-gcc", ["-std=c99", "-Os", "-mcpu=cortex-m4", "-mthumb"]),
        ("g++", ["-std=c++17", "-x", "c++"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@needs_cc
@pytest.mark.usefixtures("in_c")
def test_every_header_compiles_without_a_warning(compiler, flags, folder):
    compiles(folder, compiler, *flags)


def test_the_header_tells_the_bytes_of_flash_and_stack_and_its_use(tmp_path, capsys):
    text = one(
        exporting.Case(nn.MLP([30, 16, 8, 2], "tanh"), np.ones((1, 30)), np.ones((1, 2))), tmp_path
    )
    weights = 30 * 16 + 16 + 16 * 8 + 8 + 8 * 2 + 2
    size = f"{4 * weights:,} bytes of flash for the weights, 96 bytes of stack for the values"
    assert capsys.readouterr().out == f"net.h: {size}, and the code\n"
    assert f"{size}. */" in text
    assert "float t0[16];\n    float t1[8];\n" in text  # 24 floats
    assert text.startswith(
        f"/* net: MLP with 30 inputs and 2 outputs, exported by\n   minidl {dl.__version__}. "
    )
    for line in ('#include "net.h"', "float x[30], y[2];", "net(x, y);"):
        assert line in text.partition("*/")[0]


def test_the_frame_of_the_function_is_little_larger_than_its_values(tmp_path):
    one(exporting.Case(nn.MLP([9, 256, 128, 2]), np.ones((1, 9)), np.ones((1, 2))), tmp_path)
    (tmp_path / "main.c").write_text(
        '#include "net.h"\nvoid call(const float *x, float *y);\n'
        "void call(const float *x, float *y) { net(x, y); }\n"
    )
    compiles(tmp_path, "gcc", "-std=c99", "-Os", "-fstack-usage")
    frames = re.findall(r"\t(\d+)\t", (tmp_path / "main.su").read_text())
    assert 4 * (256 + 128) <= max(map(int, frames)) <= 4 * (256 + 128) + 128


def test_values_that_are_not_needed_any_more_leave_their_place_to_others(tmp_path):
    layers = [nn.Dense(50, 50, rng=i) for i in range(6)]
    text = one(exporting.Case(nn.Sequential(*layers), np.ones((1, 50)), np.ones((1, 50))), tmp_path)
    assert re.findall(r"float t\d+\[\d+\]", text) == ["float t0[50]", "float t1[50]"]


@st.composite
def graphs(draw):
    """Steps of random functions of random earlier values, all of which the output needs."""
    widths, steps = [draw(st.integers(1, 4))], []
    for _ in range(draw(st.integers(1, 12))):
        value = st.integers(0, len(steps))
        op = draw(st.sampled_from(["tanh", "multiply", "softmax", "dense", "concatenate"]))
        count = {"multiply": 2, "concatenate": 2}.get(op, 1)
        inputs = tuple(draw(value) for _ in range(count))
        own = [widths[x] for x in inputs]
        width = {"dense": draw(st.integers(1, 4)), "concatenate": sum(own)}.get(op, max(own))
        steps.append(Step(op, inputs, {}, width, ""))
        widths.append(width)
    unused = set(range(len(widths))) - {x for step in steps for x in step.values}
    inputs = tuple(sorted(unused))
    steps.append(Step("concatenate", inputs, {}, sum(widths[x] for x in inputs), ""))
    widths.append(steps[-1].width)
    if draw(st.booleans()):
        steps.append(
            Step(draw(st.sampled_from(["tanh", "dense"])), (len(steps),), {}, widths[-1], "")
        )
        widths.append(widths[-1])
    return Graph("", np.dtype(np.float32), tuple(widths), tuple(steps))


@given(graphs())
def test_a_value_stays_in_its_place_until_it_was_used_for_the_last_time(graph):
    places, sizes = c_header._places(graph)
    room = {"x": graph.widths[0], "y": graph.widths[-1]}
    room |= {f"t{i}": size for i, size in enumerate(sizes)}
    held = {"x": 0}  # place → the value that it holds
    for number, step in enumerate(graph.steps, 1):
        assert [held[places[x]] for x in step.values] == list(step.values)
        sources = [x for x in step.values if places[x] == places[number]]
        assert places[number] != "x"
        assert all(graph.widths[x] == step.width for x in sources)  # replaced entry by entry
        assert not sources or step.op in c_header.IN_PLACE
        assert step.width <= room[places[number]]
        held[places[number]] = number
    assert places[-1] == "y"


def test_headers_of_two_models_go_into_one_program(tmp_path):
    for name in ("first", "second"):
        to_c(nn.MLP([2, 3, 1]), tmp_path / f"{name}.h", name=name)
    text = (tmp_path / "first.h").read_text()
    assert re.search(r"^#ifndef FIRST_[0-9A-F]{8}_H$", text, re.M)
    names = re.findall(r"(?:static const float|static inline void) (\w+)", text)
    assert all(name.startswith("first") for name in names)


@needs_cc
def test_two_models_of_the_same_name_are_an_error_of_the_compiler_and_one_twice_is_none(tmp_path):
    for seed, file in ((0, "a.h"), (1, "b.h"), (0, "c.h")):
        to_c(nn.MLP([2, 3, 1], rng=seed), tmp_path / file)
    for files, code in ((("a.h", "a.h", "c.h"), 0), (("a.h", "b.h"), 1)):
        source = "".join(f'#include "{file}"\n' for file in files)
        command = ["cc", "-std=c99", "-fsyntax-only", "-x", "c", "-"]
        run = subprocess.run(command, input=source, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == code
        assert ("redefinition" in run.stderr) == code


@needs_cc
def test_names_of_any_characters_are_written_in_ascii_and_end_no_comment(tmp_path):
    class Größe(nn.Module):
        def __init__(self):
            self.layers = {"*/ int": nn.Dense(2, 1, rng=0), "\n β": nn.Tanh()}

        def forward(self, x):
            return self.layers["\n β"](self.layers["*/ int"](x))

    text = one(exporting.Case(Größe(), np.ones((1, 2)), np.ones((1, 1))), tmp_path)
    assert text.isascii()
    assert "/* layers.___int */" in text
    compiles(tmp_path, "cc", "-std=c99")


@pytest.mark.parametrize(
    "name",
    [
        *("", "1net", "my-net", "nét", None),
        *("int", "class", "or", "constexpr", "nullptr", "tanhf", "exp", "y1", "isnan", "NAN"),
    ],
)
def test_a_name_that_c_does_not_take_is_an_error(name, tmp_path):
    with pytest.raises(ValueError, match=r"to_c: name .*(identifier of C|is taken in C)"):
        to_c(nn.MLP([2, 1]), tmp_path / "net.h", name=name)


def test_what_float32_can_not_hold_is_an_error_and_the_old_file_stays(tmp_path):
    path = tmp_path / "net.h"
    to_c(nn.MLP([2, 1]), path)
    before = path.read_bytes()
    with dl.default_dtype("float64"):
        large = nn.Sequential(nn.Dense(2, 1, init=lambda *_: [[1e40], [1.0]]))
    with pytest.raises(ValueError, match=r"constant of dense in dense1 is too large .*: 1e\+40"):
        to_c(large, path)
    narrow = nn.Sequential(dl.data.Standardize().fit([[0.0], [1e-60]]), nn.Dense(1, 1))
    with pytest.raises(ValueError, match="a deviation in standardize1 is too small for float32"):
        to_c(narrow, path)
    with pytest.raises(TypeError, match="to_c: max can't be exported"):
        to_c(exporting.Function(lambda x: x.max(1, keepdims=True)), path, example=np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"to_c: the name must end in \.h"):
        to_c(nn.MLP([2, 1]), tmp_path / "net.c")
    assert path.read_bytes() == before
