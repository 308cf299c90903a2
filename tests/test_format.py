"""Numbers, formulas and tables as text, on consoles of every encoding."""

import ast
import io
import itertools
import math
import os
import pathlib
import re
import subprocess
import sys

import cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl as dl
from minidl import ops, viz
from minidl.__main__ import lesson
from minidl._format import Text, aligned, number, plain, printable, printed

FOLDER = pathlib.Path(dl.__file__).parent
ENCODINGS = "ascii", "latin-1", "cp1252", "cp949"


@pytest.fixture
def console(monkeypatch):
    """A function that replaces stdout by a console of an encoding."""

    def replace(encoding, errors="strict"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return replace


@pytest.mark.parametrize(
    ("x", "shown", "exact"),
    [
        (0.1 + 0.2, "0.3", "0.30000000000000004"),
        (np.float64(2 / 3), "0.6667", "0.6666666666666666"),
        (np.float32(2 / 3), "0.6667", "0.6666667"),
        (np.float32(0.1), "0.1", "0.1"),
        (np.array(-1.5), "−1.5", "-1.5"),
        (1234.5678, "1235", "1234.5678"),
        (-3, "−3", "-3"),
        (np.int64(42), "42", "42"),
        (2.0, "2", "2.0"),
        (123456.0, "123456", "123456.0"),
        (-999999.0, "−999999", "-999999.0"),
        (1e6, "1e6", "1000000.0"),
        (12345678.9, "1.235e7", "12345678.9"),
        (1e-5, "1e−5", "1e-05"),
        (-1.23456e-10, "−1.235e−10", "-1.23456e-10"),
        (1e300, "1e300", "1e+300"),
        (5e-324, "4.941e−324", "5e-324"),
        (-1.5e100, "−1.5e100", "-1.5e+100"),
        (0.0, "0", "0.0"),
        (-0.0, "0", "-0.0"),
        (math.nan, "NaN", "nan"),
        (math.inf, "∞", "inf"),
        (-math.inf, "−∞", "-inf"),
        (np.float32(math.inf), "∞", "inf"),
        (True, "1", "True"),
    ],
)
def test_a_number_is_shown_in_four_digits_and_kept_in_all(x, shown, exact):
    assert number(x)[:2] == (shown, exact)


@given(st.floats(-1e308, 1e308), st.booleans())
def test_a_number_is_shown_to_four_digits_and_exact_to_the_last(x, single):
    if single:
        with np.errstate(over="ignore"):
            x = np.float32(x)
    shown, exact, *_ = number(x)
    assert type(x)(exact) == x
    if math.isfinite(x):
        assert float(shown.replace("−", "-")) == pytest.approx(float(x), rel=5.1e-4, abs=0)


@pytest.mark.parametrize(
    ("digits", "shown"), [(2, "0.67"), (4, "0.6667"), (8, "0.66666667"), (1, "0.7")]
)
def test_the_number_of_digits_can_be_chosen(digits, shown):
    assert number(2 / 3, digits).shown == shown


def test_a_line_of_tokens_is_text_with_the_shown_digits():
    assert plain(["y = ", number(1 / 3), " · ", number(-2.0)]) == "y = 0.3333 · −2"


def test_the_columns_of_a_table_are_aligned_without_trailing_spaces():
    rows = [["a", "bb", "c"], ["long", "", "x"], ["", "b", ""]]
    assert aligned(rows) == ["a     bb  c", "long      x", "      b"]


def test_text_is_its_own_repr():
    text = Text("two\nlines")
    assert repr(text) == str(text) == "two\nlines"
    assert isinstance(text, str)


# --- consoles -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ascii_", "cp1252"),
    [
        ("m̂ ← βm / (1 − β₁ᵗ)", "m_hat <- beta m / (1 - beta1^t)", ...),
        ("∂x = g (1 − y²)", "dx = g (1 - y^2)", "dx = g (1 - y²)"),
        ("∂L/∂θ ≠ ∂L/∂dense1.bias", "dL/dtheta != dL/ddense1.bias", ...),
        ("x⁻¹ aᵇ⁻¹ e⁻ˣ", "x^-1 a^(b-1) e^-x", ...),
        ("y₁₂ = Σₖ xᵢₖ · wₖ", "y12 = sum_k x_ik * w_k", "y12 = sum_k x_ik · w_k"),
        ("xᵀ @ g", "x^T @ g", ...),
        ("ρ∞ = 2 / (1 − β₂) − 1 < ∞", "rho_inf = 2 / (1 - beta2) - 1 < inf", ...),
        ("θ ← (1 − ηλ)θ − 2π", "theta <- (1 - eta lambda) theta - 2 pi", ...),
        ("½ · 0.96^(tψ)", "1/2 * 0.96^(t psi)", "½ · 0.96^(t psi)"),
        ("√(G + ε) + √x", "sqrt(G + eps) + sqrt x", ...),
        ("Δ² ≤ ḡ ≥ −1e−5", "Delta^2 <= g_bar >= -1e-5", "Delta² <= g_bar >= -1e-5"),
        ("|x| ∈ Φ(z)", "|x| \\u2208 Phi(z)", ...),
        ("2×3, 50 µs – café …", "2x3, 50 us - cafe ...", "2×3, 50 µs – café …"),
        ("权重 \udcff", "\\u6743\\u91cd \\udcff", ...),
        ("plain ASCII \\ ?", "plain ASCII \\ ?", ...),
    ],
)
def test_characters_that_a_console_lacks_are_spelled_out(text, ascii_, cp1252, console):
    console("ascii")
    assert printable(text) == ascii_
    console("cp1252")
    assert printable(text) == (ascii_ if cp1252 is ... else cp1252)
    console("utf-8")
    assert printable(text) == text.replace("\udcff", "\\udcff")


@pytest.mark.parametrize(
    "stream", [None, io.StringIO(), object()], ids=["None", "StringIO", "object"]
)
def test_where_no_encoding_is_known_the_text_stays_as_it_is(stream, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream)
    assert printable("∂x ← −1") == "∂x ← −1"


@pytest.mark.parametrize("encoding", [None, 5, "", "no-such-encoding"])
def test_an_encoding_that_does_not_exist_changes_nothing(encoding, monkeypatch):
    stream = type("Stream", (), {"encoding": encoding, "errors": "strict"})()
    monkeypatch.setattr(sys, "stdout", stream)
    assert printable("∂x ← −1") == "∂x ← −1"


def test_a_closed_console_and_one_that_replaces_characters_get_the_same_text(console):
    console("ascii").close()
    assert printable("−1") == "-1"
    console("ascii", "replace")
    assert printable("−1") == "-1"
    console("ascii").detach()
    assert printable("−1") in ("-1", "−1")  # without an error


def test_undecodable_bytes_stay_where_the_console_writes_them_back(console):
    console("ascii", "surrogateescape")
    assert printable("\udcff.png") == "\udcff.png"


@given(st.text(st.characters(exclude_categories=[])), st.sampled_from([*ENCODINGS, "utf-8"]))
def test_any_text_can_be_printed_and_is_spelled_once(text, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        shown = printable(text)
        assert printable(shown) == shown
    stream.write(shown)


def test_columns_are_aligned_as_they_are_printed(console):
    rows = [["x → y", "β₁"], ["a", "−∞"]]
    assert aligned(rows) == ["x → y  β₁", "a      −∞"]
    assert aligned(rows, str) == aligned(rows)
    console("ascii")
    assert aligned(rows) == ["x -> y  beta1", "a       -inf"]
    assert aligned(rows, str) == ["x → y  β₁", "a      −∞"]


def test_a_class_is_printed_as_the_console_can_show_it(console):
    @printed
    class Arrow:
        def __repr__(self):
            return "a → b"

    assert repr(Arrow()) == "a → b"
    console("ascii")
    assert repr(Arrow()) == str(Arrow()) == "a -> b"
    assert repr([Arrow()]) == "[a -> b]"
    assert Text("a → b").splitlines() == ["a -> b"]


def formulas():
    """Every formula that minidl states: of ops, rules and surfaces."""
    for op in vars(ops).values():
        if hasattr(op, "derivatives"):
            yield from (op.formula, *op.derivatives)
    for rule in cases.RULES:
        yield getattr(dl.optim, rule).equations
    for surface in viz.SURFACES.values():
        yield surface.formula


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_formula_is_spelled_without_an_escape(encoding, console):
    console(encoding)
    texts = list(formulas())
    assert len(texts) > 100
    for text in texts:
        shown = printable(text)
        shown.encode(encoding)
        assert "\\" not in shown, text


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_matrices_of_a_walkthrough_are_aligned_on_every_console(encoding, console):
    walk = lesson()
    unicode = str(walk)
    console(encoding)
    shown = str(walk)
    shown.encode(encoding)
    assert len(shown.splitlines()) == len(unicode.splitlines())
    aligned_rows = 0
    for before, after in itertools.pairwise(
        zip(unicode.splitlines(), shown.splitlines(), strict=True)
    ):
        (upper, upper_shown), (lower, lower_shown) = before, after
        if "⎣" in lower and len(re.findall("[⎡⎤]", upper)) == len(re.findall("[⎣⎦]", lower)):
            at = [m.start() for m in re.finditer(r"[⎡⎤]|[][](?= |$)", upper_shown)]
            assert {m.start() for m in re.finditer(r"[⎣⎦]|[][](?= |$)", lower_shown)} <= set(at)
            aligned_rows += 1
    assert aligned_rows > 20


EVERYTHING = """
import warnings
import numpy as np
import minidl as dl
from minidl import viz
from minidl.__main__ import lesson

model = dl.nn.MLP([2, 3, 2], "tanh", rng=0)
loader = dl.data.DataLoader(np.ones((4, 2)), np.array([0, 1, 0, 1]), 2, rng=0)
adam = dl.optim.Adam(model)
history = dl.fit(model, dl.losses.cross_entropy, adam, loader, epochs=2, progress=False)
print(model, history, loader, [model, history], dl.losses.CrossEntropy(), sep="\\n")
for rule in dl.optim.RULES.values():
    optimizer = rule(model, lr=dl.schedulers.WarmUp(0.1, 3))
    print(optimizer, optimizer.groups)
walk = lesson([2, 3, 2], "gelu", "cross_entropy", "Nadam")
print(walk, repr(walk), walk.explain("dense2.weight", (0, 0)), walk.steps, sep="\\n")
with dl.trace() as spoiled:
    wide = dl.nn.MLP([2, 2, 1], "tanh", rng=0)
    dl.losses.mse(wide(np.full((2, 2), 99.0)), np.zeros((2, 1))).backward()
print(spoiled.remarks(), *(f"{r.title}: {r.text}" for r in spoiled.remarks()), sep="\\n")
rules = {"β = 0.9": dl.optim.Momentum, "Adam": dl.optim.Adam}
race = viz.race("himmelblau", rules, steps=9, lr=0.01)
print(race, race.table(), *race.runs, sep="\\n")
print(viz.race("saddle", ["SGD"], steps=3, start=5).table(), viz.SURFACES, sep="\\n")
dl.show_config()
for wrong in (
    lambda: dl.optim.Adam(model, lr=-1),
    lambda: dl.optim.Adam(model, betas=3),
    lambda: dl.nn.MLP(3, 4, 1),
    lambda: dl.nn.Dense(2, 1)(np.ones(3)),
    lambda: dl.nn.Dense(0, 1),
    lambda: dl.set_num_threads(10**9),
    lambda: dl.losses.cross_entropy(np.ones((2, 2)), -np.ones((2, 2))),
    lambda: dl.losses.cross_entropy(np.float64(1), 1),
    lambda: dl.schedulers.Triangular(3, 2, 9),
    lambda: dl.schedulers.WarmUp("no", 3),
    lambda: dl.schedulers.Sequence(3),
    lambda: dl.optim.Adam([3]),
    lambda: viz.race("saddle", ["SGD"], rng="no"),
    lambda: dl.optim.Adam([dl.Tensor([1.0])]),
    lambda: dl.optim.Adam(model, 0.1, 0.9),
    lambda: dl.clip(np.ones(2), 1, 0),
    lambda: dl.sum(np.ones(2), axis=3),
    lambda: dl.trace().save,
):
    try:
        wrong()
    except (ValueError, TypeError, AttributeError) as error:
        print(error)
    else:
        raise AssertionError("nothing was wrong")
print("done")
"""


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_one_of_everything_is_printed_on_every_console(encoding, tmp_path):
    script = tmp_path / "everything.py"
    script.write_text(EVERYTHING, encoding="utf-8")
    environment = {"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "0"}
    run = subprocess.run(
        [sys.executable, script],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stderr.decode()) == (0, "")
    text = run.stdout.decode(encoding)
    assert text.splitlines()[-1] == "done"
    assert "\\u" not in text
    assert "\\x" not in text
    assert "v_hat" in text
    assert "number >= 0" in text or encoding == "cp949"  # which has ≥


def unspelled(node):
    """The strings in a node that some console can't show, and that `printable` doesn't get."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "printable":
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isascii():
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from unspelled(child)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.name)
def test_no_message_of_an_error_stops_a_print_of_it(path):
    raised = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Raise)]
    assert [text for error in raised for text in unspelled(error)] == []


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.pyx")), ids=lambda path: path.name)
def test_no_message_of_a_kernel_stops_a_print_of_it(path):
    code = re.sub(r'(?s)""".*?"""|#[^\n]*', "", path.read_text("utf-8"))
    assert re.findall(r'f?"[^"\n]*[^\x00-\x7f][^"\n]*"', code) == []
