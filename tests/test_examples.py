"""The examples as scripts: what they print and draw, and how they refuse wrong arguments."""

import contextlib
import functools
import io
import json
import math
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from cases import GOLDEN
from PIL import Image

import minidl as dl
from examples.course import LESSONS

EXAMPLES = Path(__file__).parents[1] / "examples"
PICTURES = "schedule.png", "shapes.png", "schedules.png"
OTHERS = "matplotlib", "jinja2", "sklearn", "tqdm", "safetensors"


def run(name, *arguments, cwd, **environment):
    """The finished process of `python examples/name` in a folder."""
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments],
        cwd=cwd,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def refused(name, *arguments):
    """The error message of an example for wrong arguments; it runs in this process."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as stderr:
        patch.setattr(sys, "argv", [name, *arguments])
        patch.delitem(sys.modules, "ipykernel", raising=False)  # of a test; no notebook runs here
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(EXAMPLES / name))
    assert stop.value.code == 2
    return stderr.getvalue()


def with_numpy_alone(folder):
    """An environment in which importing other libraries fails as if they were not installed."""
    hide = f"import sys\nsys.modules.update(dict.fromkeys({OTHERS}))\n"
    (folder / "sitecustomize.py").write_text(hide)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regression")
    result = run("regression.py", cwd=folder)
    assert result.returncode == 0, result.stderr
    return result, folder


def test_regression_finds_the_articles_numbers_by_hand_and_with_minidl(regression):
    result, _ = regression
    for way in ("by hand", "minidl "):
        (line,) = (line for line in result.stdout.splitlines() if line.startswith(way))
        assert re.search(r"slope 1\.99437925\s+intercept 1\.2177417283305512$", line)
    (difference,) = re.findall(r"they differ by (\S+)", result.stdout)
    assert float(difference) < 1e-12


def test_regression_compares_every_rule_every_batch_size_and_three_rates(regression):
    from minidl import optim

    result, _ = regression
    table = result.stdout.split("distance from the exact solution")[1].split("Two runs")[0]
    rows = {line.split()[0]: line.split() for line in table.splitlines() if line.strip()}
    assert set(rows) == set(optim.RULES)
    assert all(row[2] == "1000" and float(row[-1]) < 0.05 for row in rows.values())
    distances = []
    for batch in ("all 100 points", "mini-batches of 16", "one point"):
        (line,) = (line for line in result.stdout.splitlines() if line.startswith(batch))
        distances.append(float(line.split()[-1]))
    assert max(distances) < 0.1
    assert distances[-1] < 2 * distances[0]  # the answer to a question of the lesson
    assert re.search(r"too small .*1\.18", result.stdout)
    assert re.search(r"right .*0\.992", result.stdout)
    assert re.search(r"too large .*the loss became inf at epoch \d+", result.stdout)


def test_regression_draws_one_figure_and_names_it(regression):
    result, folder = regression
    assert "Wrote regression.png" in result.stdout
    assert (folder / "regression.png").read_bytes().startswith(b"\x89PNG")
    assert not result.stderr


def test_digits_reach_97_percent_and_draw_the_mistakes(tmp_path):
    result = run("digits.py", "--figure", "mistakes.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (percent,) = re.findall(r"([\d.]+) % are right", result.stdout)
    assert float(percent) >= 97
    table = result.stdout.split("the guess\n\n")[1].splitlines()[1:11]
    counts = [[int(c.replace("·", "0")) for c in row.split()] for row in table]
    right = sum(row[digit + 1] for digit, row in enumerate(counts))
    assert sum(sum(row[1:]) for row in counts) == 359
    assert right == round(359 * float(percent) / 100)
    assert (tmp_path / "mistakes.png").read_bytes().startswith(b"\x89PNG")


def test_the_line_can_be_learned_on_any_console(tmp_path):
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = run("regression.py", "--seeds", "1", cwd=tmp_path, **environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.isascii()
    assert "\\" not in result.stdout
    assert re.search(r"curvature lambda = [\d.]+, so rates above 2/lambda", result.stdout)


@pytest.mark.parametrize("lesson", LESSONS)
def test_with_numpy_alone_a_lesson_says_at_once_what_to_install(lesson, tmp_path):
    environment = with_numpy_alone(tmp_path)
    result = run(f"{lesson}.py", cwd=tmp_path, PYTHONIOENCODING="ascii", **environment)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r".*: python -m pip install 'minidl\[course\]'\n", result.stderr)


@pytest.mark.parametrize(
    ("name", "extra"),
    [("digits", "examples"), ("online_ftrl", "examples"), ("pipeline", "sklearn")],
)
def test_with_numpy_alone_an_example_says_at_once_what_to_install(name, extra, tmp_path):
    result = run(f"{name}.py", cwd=tmp_path, **with_numpy_alone(tmp_path))
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(rf".*: python -m pip install 'minidl\[{extra}\]'\n", result.stderr)


@pytest.mark.parametrize(
    "name", sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "course.py")
)
def test_an_example_has_help_and_refuses_unknown_options(name, tmp_path):
    assert "usage:" in run(name, "--help", cwd=tmp_path).stdout
    assert "unrecognized arguments: --epocs" in refused(name, "--epocs", "3")
    option = {
        "captured.py": "--page",
        "own_layers.py": "--page",
        "walkthrough.py": "--page",
        "optimizer_race.py": "--out",
        "pipeline.py": "--folder",
        "tabular.py": "--folder",
        "distributed.py": None,
    }.get(name, "--figure")
    assert option is None or "there is no folder" in refused(name, option, "no/such/folder/x")


# --- captured.py --------------------------------------------------------------------------------


def test_the_captured_training_ends_in_the_same_bits_and_writes_its_plan(tmp_path):
    result = run("captured.py", "--epochs", "2", "--page", "plan.html", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    losses = re.findall(r"^(?:eager|captured|epochs).* loss (\S+) .* a step$", result.stdout, re.M)
    assert len(losses) == 3
    assert len(set(losses)) == 1
    assert "The weights are the same, bit for bit." in result.stdout
    assert re.search(r"^Adam +step +6 parameters +6 parameters ", result.stdout, re.M)
    assert "<title>The plan of step</title>" in (tmp_path / "plan.html").read_text("utf-8")


def test_the_captured_training_can_be_printed_on_any_console(tmp_path):
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = run("captured.py", "--epochs", "1", cwd=tmp_path, **environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.isascii()
    assert "\\" not in result.stdout


# --- tabular.py ---------------------------------------------------------------------------------


def test_the_table_is_learned_and_a_crash_changes_no_bit(tmp_path):
    result = run("tabular.py", "--folder", str(tmp_path), cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    (accuracy, auc) = re.findall(r"accuracy is (\S+) and the AUC (\S+):", result.stdout)[0]
    assert float(accuracy) >= 0.96
    assert float(auc) > 0.99
    counts = re.findall(
        r"of (\d+) malignant .* (\d+) were found, of (\d+) .* ones (\d+)", result.stdout
    )
    malignant, found, benign, passed = map(int, counts[0])
    assert malignant + benign == 114
    assert (found + passed) / 114 == pytest.approx(float(accuracy), abs=5e-4)
    assert "Resumed after epoch 7, it ended in the same bits." in result.stdout
    assert re.search(r"is (malignant|benign) with a probability of \d+\.\d%", result.stdout)
    names = {f"{name}{best}.ckpt" for name in ("whole", "crashed") for best in ("", ".best")}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_the_table_needs_no_more_than_numpy_and_leaves_no_files(tmp_path):
    environment = with_numpy_alone(tmp_path)
    result = run("tabular.py", cwd=tmp_path, TMPDIR=str(tmp_path), **environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert not [p for p in tmp_path.iterdir() if p.name not in ("sitecustomize.py", "__pycache__")]


def test_the_table_is_scikit_learns():
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    lines = (EXAMPLES / "breast_cancer.csv").read_text("utf-8").splitlines()
    assert lines[0].split(",") == [*(n.replace(" ", "_") for n in data.feature_names), "benign"]
    table = np.loadtxt(lines[1:], delimiter=",")
    np.testing.assert_array_equal(table, np.column_stack([data.data, data.target]))


# --- pipeline.py --------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler cc")
def test_the_best_pipeline_gives_the_same_probabilities_in_c(tmp_path):
    result = run("pipeline.py", "--folds", "2", "--folder", str(tmp_path), cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    rows = re.findall(r"^(\w+) +(0\.\d+) +accuracy (0\.\d+)( +best)?$", result.stdout, re.M)
    assert len({row[:2] for row in rows}) == 9
    (best,) = (row for row in rows if row[3])
    assert best[2] == max(row[2] for row in rows)
    ((in_python, in_c),) = re.findall(r"new rows: (\S+) in Python, (\S+) in C", result.stdout)
    assert in_python == in_c >= "0.94"
    (difference,) = re.findall(r"difference of a probability: (\S+)", result.stdout)
    assert float(difference) < 2e-6
    assert "net.h: 2,412 bytes of flash" in result.stdout
    assert (tmp_path / "net.h").read_text().startswith("/* net: Sequential with 30 inputs")


# --- own_layers.py ------------------------------------------------------------------------------

LAYERS = json.loads((GOLDEN / "layers.json").read_text("utf-8"))["cases"]
SIZES = {"BatchNorm": [4], "LayerNorm": [5], "Embedding": [6, 3]}


@pytest.fixture(scope="module")
def own_layers(tmp_path_factory):
    """What the lesson defines and prints, and the folder of its page."""
    folder = tmp_path_factory.mktemp("own_layers")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr(sys, "argv", ["own_layers.py", "--page", str(folder / "walk.html")])
        patch.delitem(sys.modules, "ipykernel", raising=False)
        names = runpy.run_path(str(EXAMPLES / "own_layers.py"))
    return names, out.getvalue(), folder


def layer_of(names, case, dtype="float64"):
    """A layer of the lesson with the weights of a case."""
    with dl.default_dtype(dtype):
        layer = names[case["layer"]](*SIZES[case["layer"]], **case["options"])
    for name, values in case["weights"].items():
        getattr(layer, name).data = np.array(values, dtype)
    return layer


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", LAYERS, ids=lambda c: f"{c['layer']}{c['options'] or ''}")
def test_own_layers_give_outputs_gradients_and_statistics_of_pytorch(own_layers, case, dtype):
    layer = layer_of(own_layers[0], case, dtype)
    # steps add up in the statistics; y and the gradients are sums of about ten numbers
    tolerance = {"float64": 1e-10, "float32": 1e-4}[dtype]
    close = functools.partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    for step in case["steps"]:
        layer.train() if step["training"] else layer.eval()
        layer.zero_grad()
        x = np.array(step["x"])
        if x.dtype.kind == "f":
            x = dl.Tensor(x.astype(dtype), requires_grad=True)
        y = layer(x)
        close(y.data, step["y"])
        assert y.dtype == dtype
        y.backward(np.array(step["g"], dtype))
        own = {"x": x.grad} if isinstance(x, dl.Tensor) else {}
        own |= {name: p.grad for name, p in layer.named_parameters()}
        assert own.keys() == step["gradients"].keys()
        for name, expected in step["gradients"].items():
            close(own[name], expected, err_msg=name)
            assert own[name].dtype == dtype
        buffers = layer.state_dict().keys() - case["weights"].keys()
        assert buffers == step["buffers"].keys()
        for name, expected in step["buffers"].items():
            close(layer.state_dict()[name], expected, err_msg=name)
            assert layer.state_dict()[name].dtype == dtype


def test_the_cases_of_own_layers_cover_both_modes_and_all_options():
    options = {(case["layer"], *case["options"]) for case in LAYERS}
    assert options >= {("BatchNorm", "momentum", "eps"), ("BatchNorm", "affine")}
    assert options >= {("LayerNorm", "eps"), ("Embedding",)}
    modes = {(case["layer"], step["training"]) for case in LAYERS for step in case["steps"]}
    assert modes >= {("BatchNorm", True), ("BatchNorm", False)}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("case", LAYERS, ids=lambda c: f"{c['layer']}{c['options'] or ''}")
def test_own_layers_are_captured_to_the_same_bits(own_layers, case, training):
    def trained(captured):
        layer = layer_of(own_layers[0], case, "float32")
        model = dl.nn.Sequential(layer, dl.nn.Dense(SIZES[case["layer"]][-1], 1, rng=0))
        model.train() if training else model.eval()
        optimizer = dl.optim.Adam(model, lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        step = dl.capture(step) if captured else step
        x = np.array(case["steps"][0]["x"])
        x = x if x.dtype.kind == "i" else x.astype(np.float32)
        losses = [step(x + (x.dtype.kind == "f") * i).item() for i in range(6)]
        assert not captured or step.plan is not None
        return losses, model.state_dict()

    (eager, state), (replayed, own) = trained(captured=False), trained(captured=True)
    assert eager == replayed
    for name, values in state.items():
        np.testing.assert_array_equal(own[name], values, err_msg=name)


@pytest.mark.parametrize("case", LAYERS, ids=lambda c: f"{c['layer']}{c['options'] or ''}")
def test_a_walkthrough_of_own_layers_shows_ops_and_right_gradients(own_layers, case):
    layer = layer_of(own_layers[0], case)
    x = np.array(case["steps"][0]["x"])
    x = x if x.dtype.kind == "i" else dl.Tensor(x, requires_grad=True, name="x")
    with dl.trace() as walk:
        (layer(x) ** 2).sum().backward()
    text = str(walk)
    shown = {"Embedding": ["y = x[key]"]}.get(
        case["layer"], ["y = Σ (x − mean x)² / (n − ddof)", "y = √x", "y = a / b"]
    )
    assert all(formula in text for formula in shown)
    check = text.split("Gradient check")[1].split("SUMMARY")[0]
    assert len(re.findall("< 1e−[5-9]", check)) >= 8
    assert ">" not in check


def test_own_layers_are_short_and_use_public_names_only():
    source = (EXAMPLES / "own_layers.py").read_text("utf-8")
    for kind in ("BatchNorm", "LayerNorm", "Embedding", "Network"):
        (text,) = re.findall(rf"^class {kind}\(.*?(?=\n\n\n|\Z)", source, re.M | re.S)
        assert "._" not in text
        assert text.count("\n") <= 22


def test_batch_normalization_refuses_one_sample_in_training_and_takes_it_to_predict(own_layers):
    layer = own_layers[0]["BatchNorm"](2)
    before = layer.state_dict()
    with pytest.raises(ValueError, match="BatchNorm needs at least two samples"):
        layer(np.ones((1, 2)))
    for name, values in layer.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    assert layer.eval()(np.ones((1, 2), np.float32)).shape == (1, 2)


def test_the_lesson_of_own_layers_shows_what_it_says(own_layers):
    _, stdout, folder = own_layers
    differences = re.findall(r"largest difference from PyTorch (\S+)", stdout)
    assert len(differences) == 5
    assert all(float(difference) < 1e-10 for difference in differences)
    kinds = re.findall(r"^(\w+): the gradients of (\d) tensors are right$", stdout, re.M)
    assert kinds == [("BatchNorm", "3"), ("BatchNorm", "3"), ("LayerNorm", "3"), ("Embedding", "1")]
    assert "y = a / b    y[0, 0] = (−2) / 2.16 = −0.9258" in stdout
    assert "402 trainable, 0 frozen, 4 in buffers" in stdout
    (percent,) = re.findall(r"([\d.]+)% of 1,000 unseen days", stdout)
    assert float(percent) > 95
    assert "captured and eager: the same bits" in stdout
    assert "saved and loaded: the same predictions" in stdout
    assert "BatchNorm" not in vars(dl.nn)
    assert "<html" in (folder / "walk.html").read_text("utf-8")


def test_the_running_statistics_of_the_lesson_are_those_of_its_columns(own_layers):
    names, _, _ = own_layers
    scale, columns = names["network"].scale, names["x"][0].astype(np.float64)
    deviation = np.sqrt(scale.running_var)
    # averages over about ten batches of fifty
    np.testing.assert_allclose(
        (scale.running_mean - columns.mean(axis=0)) / deviation, 0, atol=4 / np.sqrt(500)
    )
    np.testing.assert_allclose(deviation, columns.std(axis=0), rtol=0.1)


def test_the_lesson_of_own_layers_can_be_printed_on_any_console(tmp_path):
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = run("own_layers.py", "--epochs", "1", cwd=tmp_path, **environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.isascii()
    assert not [*tmp_path.iterdir()]


# --- walkthrough.py -----------------------------------------------------------------------------


def test_the_walkthrough_measures_what_backward_computes_and_writes_a_page(tmp_path):
    result = run("walkthrough.py", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    pairs = re.findall(r"backward ([+-][\d.]+) +measured ([+-][\d.]+)", result.stdout)
    assert len(pairs) == 9
    assert all(math.isclose(float(a), float(b), abs_tol=2e-9) for a, b in pairs)
    assert "y[0, 1] = 0.7 · (−0.5) + 0.8 · 0.7 + 0 = 0.21" in result.stdout
    assert "θ[0, 1] ← −0.5 − 0.1 · (−0.3284) / (√0.1078 + 1e−8) = −0.4" in result.stdout
    for title in ("Inputs that need scaling", "Saturated tanh", "was not zeroed", "vanishing"):
        assert title in result.stdout
    assert "<title>Walkthrough of loss: MLP 2 → 2 → 1, tanh, mse, Adam</title>" in (
        tmp_path / "walkthrough.html"
    ).read_text("utf-8")


# --- online_ftrl.py -----------------------------------------------------------------------------


def run_online(folder, *arguments):
    """Run online_ftrl.py in this process: the names it defines, and what it prints."""
    figure = ["--figure", str(folder / "online_ftrl.png")]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setenv("MPLBACKEND", "Agg")
        patch.setattr(sys, "argv", ["online_ftrl.py", *arguments, *figure])
        patch.delitem(sys.modules, "ipykernel", raising=False)  # of a test; no notebook runs here
        names = runpy.run_path(str(EXAMPLES / "online_ftrl.py"))
    return names, out.getvalue()


def learned(stdout):
    """The printed results without the times, and their table by name."""
    report = stdout.split("µs an update")[0]
    rows = re.findall(r"^(\w.*?)  +(0\.\d+) +([\d.]+)%  ([\d.]+)(.*)", report, re.MULTILINE)
    table = {
        name: (
            float(loss),
            float(auc),
            [float(x.strip("%").replace(",", "")) for x in rest.split()],
        )
        for name, loss, _, auc, rest in rows
    }
    return report, table


@pytest.fixture(scope="module")
def online(tmp_path_factory):
    folder = tmp_path_factory.mktemp("online")
    return *run_online(folder, "--rows", "5000"), folder


def test_online_ftrl_predicts_better_than_the_click_rate_and_never_than_the_truth(online):
    _, table = learned(online[1])
    base, _, _ = table.pop("click rate")
    best, highest, _ = table.pop("the truth")
    assert len(table) == 10
    for name, (loss, auc, _) in table.items():
        assert best < loss < base, name
        assert 0.6 < auc < highest, name


def test_online_ftrl_has_more_zeros_the_larger_l1_is_and_sgd_has_none(online):
    _, table = learned(online[1])
    kept, zeros = zip(*(rest for name, (_, _, rest) in table.items() if "λ₁" in name), strict=True)
    assert list(zeros) == sorted(set(zeros))
    assert list(kept) == sorted(set(kept), reverse=True)
    assert zeros[0] == 0
    assert zeros[3] > 90
    (touched,) = re.findall(r"([\d,]+) of 262,144 weights touched", online[1])
    for name, (_, _, rest) in table.items():
        if name.startswith("SGD"):
            assert rest == [float(touched.replace(",", "")), 0], name


def test_online_ftrl_prints_the_same_figures_in_every_process_for_one_seed(online, tmp_path):
    def figures(*arguments):
        arguments = "--rows", "5000", *arguments
        return learned(run("online_ftrl.py", *arguments, cwd=tmp_path, PYTHONHASHSEED="1").stdout)

    assert figures() == learned(online[1])
    assert figures("--seed", "1") != learned(online[1])


def test_online_ftrl_shows_the_cost_by_weights_and_by_non_zeros_and_draws_it(online):
    _, stdout, folder = online
    rows = re.findall(r"^ *(\d+) of +([\d,]+) +([\d.]+) +([\d.]+)$", stdout, re.MULTILINE)
    assert [(k, n) for k, n, _, _ in rows[:7]] == [("8", f"{4**i:,}") for i in range(5, 12)]
    assert [(k, n) for k, n, _, _ in rows[7:]] == [(str(4**i), "1,048,576") for i in range(8)]
    assert (folder / "online_ftrl.png").read_bytes().startswith(b"\x89PNG")


def algorithm_1(rows, clicked, alpha, l1, beta=1.0):
    """McMahan et al. 2013, Algorithm 1, in dictionaries: the scores, and the weights at the end."""
    z, n, scores = defaultdict(float), defaultdict(float), []

    def weight(i):
        if abs(z[i]) <= l1:
            return 0.0
        return -(z[i] - math.copysign(l1, z[i])) / ((beta + math.sqrt(n[i])) / alpha)

    for row, y in zip(rows, clicked, strict=True):
        x = Counter(row)
        w = {i: weight(i) for i in x}
        scores.append(sum(x[i] * w[i] for i in x))
        p = 1 / (1 + math.exp(-scores[-1]))
        for i in x:
            g = (p - y) * x[i]
            sigma = (math.sqrt(n[i] + g * g) - math.sqrt(n[i])) / alpha
            z[i] += g - sigma * w[i]
            n[i] += g * g
    return scores, {i: weight(i) for i in n}


@pytest.mark.parametrize("bits", [3, 18])  # with 8 weights most rows have features that share one
@pytest.mark.parametrize("l1", [0, 0.3, 3])
def test_online_ftrl_learns_like_algorithm_1_with_dictionaries(online, l1, bits):
    names, _, _ = online
    ((hashes, clicked, _),) = names["stream"](300, seed=3)
    rows = [[int(h) >> (64 - bits) for h in row] for row in hashes]
    scores, weights = algorithm_1(rows, clicked, alpha=0.5, l1=l1)
    learner = names["FTRL"](2**bits, l1, lr=0.5)
    log_odds = learner.learn(names["sparse_rows"](hashes, bits), clicked.tolist())
    np.testing.assert_allclose(log_odds, scores, rtol=1e-4, atol=1e-5)
    expected = np.zeros(2**bits)
    expected[list(weights)] = list(weights.values())
    np.testing.assert_allclose(learner.weights.data, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(learner.weights.data == 0, expected == 0)


def test_online_ftrl_streams_the_same_rows_however_many_are_asked_for(online):
    names, _, _ = online
    long, short = (
        [np.concatenate(part) for part in zip(*names["stream"](n, seed=0), strict=True)]
        for n in (20_000, 1500)
    )
    for whole, start in zip(long, short, strict=True):
        np.testing.assert_array_equal(whole[:1500], start)
    _, clicked, log_odds = long
    assert clicked.mean() == pytest.approx(np.mean(1 / (1 + np.exp(-log_odds))), abs=0.01)
    assert 0.05 < clicked.mean() < 0.2


def test_online_ftrl_measures_log_loss_and_auc_as_scikit_learn_does(online, rng):
    from sklearn.metrics import log_loss, roc_auc_score

    quality = online[0]["Quality"]()
    clicked = rng.random(6000) < 0.2
    log_odds = rng.normal(clicked - 2.0, 2)
    for part in np.split(np.arange(6000), 3):
        quality.add(log_odds[part], clicked[part])
    probabilities = 1 / (1 + np.exp(-log_odds))
    assert quality.log_loss() == pytest.approx(log_loss(clicked, probabilities), rel=1e-12)
    assert quality.auc() == pytest.approx(roc_auc_score(clicked, log_odds), abs=1e-4)


def test_online_ftrl_stopped_by_ctrl_c_prints_what_it_learned_so_far(monkeypatch, tmp_path):
    from tqdm.auto import tqdm

    def update(bar, rows):
        bar.n += rows
        if bar.n == 2000:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tqdm, "update", update)
    usual = signal.getsignal(signal.SIGINT)
    _, stopped = run_online(tmp_path, "--rows", "1000000")
    assert signal.getsignal(signal.SIGINT) is usual
    monkeypatch.undo()
    _, whole = run_online(tmp_path, "--rows", "2000")
    assert "2,000 rows (Ctrl-C)" in stopped
    assert learned(stopped.replace(" (Ctrl-C)", "")) == learned(whole)


@pytest.mark.parametrize("wrong", [("--rows", "999"), ("--bits", "25"), ("--seed", "-1")])
def test_online_ftrl_refuses_what_it_cannot_stream(wrong, tmp_path):
    result = run("online_ftrl.py", *wrong, cwd=tmp_path)
    assert result.returncode == 2
    assert "--rows must be at least 1000" in result.stderr


# --- optimizer_race.py --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def races(tmp_path_factory):
    """The tables that the lesson prints, each {optimizer: row}, and the folder of its files."""
    folder = tmp_path_factory.mktemp("races")
    result = run("optimizer_race.py", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    tables = [block.split("\n\n")[0] for block in result.stdout.split("\noptimizer ")[1:]]
    rows = [[re.split(r"  +", line) for line in table.splitlines()[1:]] for table in tables]
    return [{row[0]: row[1:] for row in table if len(row) > 4} for table in rows], folder


def test_the_race_shows_the_threshold_of_gradient_descent(races):
    (below, above, *_), _ = races
    assert len(below) == 8
    assert below["SGD"][1] == "global minimum"
    assert [above[name][1] for name in above] == ["diverged", *2 * ["global minimum"]]


def test_the_race_with_tuned_rates_is_written_as_picture_film_and_page(races):
    tables, folder = races
    assert tables[2]["NAG"][1] == "global minimum"
    assert sorted(path.name for path in folder.iterdir()) == ["race.html", "race.png"]
    with Image.open(folder / "race.png") as picture:
        assert picture.size == (1000, 560)


def test_the_race_shows_which_optimizers_leave_a_saddle(races):
    on, beside, noisy = races[0][3:6]
    assert {row[1] for row in on.values()} == {"stuck at a saddle"}
    assert beside["RMSprop"][1] == beside["Adam"][1] == "global minimum"
    assert beside["SGD"][1] == "still moving"
    assert not any("saddle" in row[1] for row in noisy.values())


def test_the_race_shows_momentum_rolling_through_a_local_minimum(races):
    one, many = races[0][6:8]
    ends = [one[name][1].split()[0] for name in one]
    assert ends == ["local", "global", "global", "local"]
    arrived = {name: int(row[1].split()[0]) for name, row in many.items()}
    assert arrived["SGD"] < arrived["Momentum β = 0.9"] < arrived["Momentum β = 0.97"]


def test_the_race_shows_that_a_falling_rate_settles_and_is_quick(races):
    noisy = races[0][8]
    arrived = {name: int(row[1].split()[0]) for name, row in noisy.items()}
    assert arrived["large"] < arrived["small"] < arrived["large to small"]


# --- schedules.py -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schedules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schedules")
    result = run("schedules.py", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout, folder


def test_the_schedules_lesson_shows_rates_and_phases(schedules):
    stdout, _ = schedules
    pairs = re.findall(r"t = +(\d+) +rate ([\d.]+)", stdout)
    assert pairs[0] == ("0", "0.0300")
    assert pairs[2] == ("500", "0.0150")
    assert pairs[4] == ("1000", "0.0000")
    phases = re.findall(r"from step +(\d+) +(\S+) +rate ([\d.]+)", stdout)
    assert phases == [
        ("0", "warm-up", "0.0000"),
        ("100", "constant", "0.0300"),
        ("750", "cool-down", "0.0300"),
        ("1000", "end", "0.0000"),
    ]


def test_what_the_schedules_lesson_says_of_its_table_is_in_it(schedules):
    stdout, _ = schedules
    rows = re.findall(r"^(\S.*?)  +(0\.\d+) +(0\.\d+) +([\d.]+)%$", stdout, re.MULTILINE)
    loss, unseen, right = ({row[0]: float(row[column]) for row in rows} for column in (1, 2, 3))
    steady, tenth, cosine = {"constant", "warm-up"}, "constant, a tenth", "warm-up, cosine decay"
    cooled = {name for name in loss if "cool-down" in name}
    assert len(cooled) == 3
    assert loss.keys() == steady | {tenth, cosine} | cooled
    for name in steady:
        assert loss[name] > 2.5 * loss[tenth], name
        assert right[name] < min(right[other] for other in right.keys() - steady), name
    for name in cooled:
        assert loss[cosine] < loss[name] < loss[tenth], name
        assert right[tenth] < right[name], name
    ends = [loss[name] for name in cooled]
    assert max(ends) / min(ends) < 2 < min(loss[name] for name in steady) / max(ends)
    for name in {cosine, *cooled}:
        assert unseen[tenth] == pytest.approx(unseen[name], rel=0.1), name
        assert right[tenth] < right[name], name
    assert loss["warm-up"] == pytest.approx(loss["constant"], rel=0.2)


def test_the_schedules_lesson_draws_three_pictures_and_names_them(schedules):
    stdout, folder = schedules
    assert "The pictures are in schedule.png, shapes.png and schedules.png" in stdout
    for name in PICTURES:
        with Image.open(folder / name) as picture:
            assert picture.width == 1000


# --- decision_boundary.py -----------------------------------------------------------------------


@pytest.fixture(scope="module", params=["moons", "spirals"])
def boundary(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("boundary")
    result = run("decision_boundary.py", "--data", request.param, "--frames", "9", cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout, folder


def test_the_boundary_lesson_shows_that_a_line_is_not_enough_and_two_layers_are(boundary):
    stdout, _ = boundary
    (line,) = re.findall(r"([\d.]+)% of the points are on their side of it", stdout)
    rows = re.findall(r"^(none|[\d+ ]+?) +(\d+) +([\d.]+)% +([\d.]+)%$", stdout, re.MULTILINE)
    assert [units for units, *_ in rows] == ["none", "1", "2", "4", "8", "16", "16 + 16"]
    assert [int(size) for _, size, _, _ in rows] == [6, 7, 12, 22, 42, 82, 354]
    assert rows[0][2] == line
    assert float(line) < 90
    assert all(float(percent) > 98 for percent in rows[-1][2:])


def test_the_boundary_lesson_writes_the_animation_and_names_it(boundary):
    stdout, folder = boundary
    assert "The animation is in decision_boundary.gif" in stdout
    with Image.open(folder / "decision_boundary.gif") as gif:
        assert 6 <= gif.n_frames <= 9
        assert gif.size == (800, 448)
    assert (folder / "decision_boundary.gif").stat().st_size < 300_000


# --- batches.py, momentum.py, adaptive.py, depth.py, overfitting.py ------------------------------

SHORT = {
    "batches": [], "momentum": [], "adaptive": [],
    "depth": ["--seeds", "1"], "overfitting": ["--seeds", "1"],
}  # fmt: skip


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """What a lesson prints; its picture is in a folder of its own."""

    @functools.cache
    def printed(name):
        folder = tmp_path_factory.mktemp(name)
        result = run(f"{name}.py", *SHORT[name], cwd=folder)
        assert (result.returncode, result.stderr) == (0, "")
        assert [path.name for path in folder.iterdir()] == [f"{name}.png"]
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.width >= 900
        return result.stdout

    return printed


def numbers(text, pattern):
    """The numbers of the lines that match: {first group: the others}."""
    rows = re.findall(rf"^ *{pattern} *$", text, re.MULTILINE)
    return {first: [float(x.replace(",", "")) for x in others] for first, *others in rows}


@pytest.mark.parametrize("name", SHORT)
def test_a_lesson_prints_its_three_questions(lesson, name):
    asked = re.findall(
        r"^Answer: dl\.lessons\.check\('(\S+)', ANSWER\)", lesson(name), re.MULTILINE
    )
    assert asked == [f"{name}-{i}" for i in (1, 2, 3)]


def test_the_lesson_on_batches_shows_that_noise_falls_with_the_root_of_the_size(lesson):
    stdout = lesson("batches")
    noise = numbers(stdout, r"(\d+) +(\d+\.\d\d) +(\d+\.\d)")
    assert [*noise] == ["1", "4", "16", "64"]
    for size, (deviation, _) in noise.items():
        assert deviation * float(size) ** 0.5 == pytest.approx(noise["1"][0], rel=0.05)
    updates = numbers(stdout, r"batch_size=(\w+): (\d+) updates an epoch of 1,000 samples")
    assert updates == {"None": [1], "32": [32], "1": [1000]}
    speed = numbers(stdout, r"(\d+) +([\d,]+) +([\d,]+) +(\d\.\d{3})")
    assert [*speed] == ["1", "4", "16", "64", "256", "1024"]
    assert all(pace > 0 and steps * int(size) >= 4096 for size, (pace, steps, _) in speed.items())


def test_the_lesson_on_momentum_shows_an_average_a_larger_limit_and_the_overshoot(lesson):
    stdout = lesson("momentum")
    for step, (v,) in numbers(stdout, r"(\d+) +([01]\.\d{3})").items():
        assert v == pytest.approx(1 - 0.9 ** int(step), abs=6e-4)
    ends = re.findall(r"^(\w+) +0\.\d+ +(diverged|global minimum) +(\S+)", stdout, re.MULTILINE)
    verdicts = [verdict for rule, verdict, _ in ends if rule == "SGD"]
    assert verdicts == ["global minimum", "diverged", "diverged"]
    assert all(verdict == "global minimum" for rule, verdict, _ in ends if rule != "SGD")
    assert int(ends[0][2]) > max(int(steps) for _, _, steps in ends[1:3])
    lowest = numbers(stdout, r"(\w+) +from 1, the minimum is at 0; it runs to ([+-]\d\.\d+)")
    assert lowest["SGD"] == [0]
    assert lowest["Momentum"][0] < lowest["NAG"][0] < -0.1


def test_the_lesson_on_adaptive_rates_shows_their_steps_and_that_axes_matter(lesson):
    stdout = lesson("adaptive")
    first = numbers(stdout, r"(\w+) +\d\.\d +(-\S+) +(-\S+) +(-\S+)")
    assert first["SGD"] == [-100, -0.1, -0.0001]
    for rule in ("Adagrad", "Adam"):
        assert first[rule] == pytest.approx([-0.1] * 3, rel=1e-3)
    assert first["RMSprop"][:2] == [-1, -1]
    assert min(first["Adadelta"]) > -0.01
    later = numbers(stdout, r"(\d+) +(\d\.\d{4}) +(\d\.\d{4}) +(\d\.\d{4}) +(\d\.\d{4})")
    for t, (sgd, adagrad, rmsprop, adam) in later.items():
        assert sgd == adam == 0.1
        assert adagrad == pytest.approx(0.1 / int(t) ** 0.5, abs=1e-4)
        assert rmsprop == pytest.approx(0.1 / (1 - 0.99 ** int(t)) ** 0.5, abs=1e-3)
    ends = re.findall(
        r"^(\w+) +[\d.]+ +(diverged|global minimum|still moving) +(\S+)", stdout, re.M
    )
    axis, stretched, diagonal = ends[:4], ends[4:8], ends[8:]
    assert axis[2:] == stretched[2:]
    assert {verdict for _, verdict, _ in axis} == {"global minimum"}
    assert [verdict for _, verdict, _ in stretched[:2] + diagonal] == 4 * ["diverged"] + 2 * [
        "still moving"
    ]


def test_the_lesson_on_depth_shows_that_sigmoids_stop_the_gradient(lesson):
    stdout = lesson("depth")
    ratios = numbers(stdout, r"(\w+) +\S+e-\d+ +\S+e-\d+ +(\S+e-\d+)")
    assert ratios["sigmoid"][0] < 1e-5
    assert min(ratios["tanh"][0], ratios["relu"][0]) > 0.3
    right = numbers(stdout, r"(\w+) +SGD, rate 0.1: (\d+)% +Adam, rate 0.01: (\d+)%")
    assert right["sigmoid"][0] < 60 < right["sigmoid"][1] < 95
    assert min(*right["tanh"], *right["relu"]) > 95


def test_the_lesson_on_overfitting_shows_noise_learned_and_what_helps(lesson):
    stdout = lesson("overfitting")
    (best,) = re.findall(r"the true curve itself has a loss of (\S+)", stdout)
    assert float(best) == pytest.approx(0.25, rel=0.02)
    by_step = numbers(stdout, r"after +(\d+) steps +(\S+) +(\S+)")
    training, unseen = zip(*by_step.values(), strict=True)
    assert list(training) == sorted(training, reverse=True)
    assert training[-1] < 0.1
    assert min(unseen[2:4]) < min(unseen[0], unseen[-1])
    by_decay = numbers(stdout, r"([\d.]+) {12,}(\d\.\d{3}) +(\d\.\d{3})")
    assert [*by_decay] == ["0", "0.1", "0.3", "1", "3"]
    assert by_decay["0.3"][1] < min(by_decay["0"][1], by_decay["3"][1])
    (stopped,) = re.findall(r"early stopping after \d+ steps, .* (\d\.\d+)$", stdout, re.MULTILINE)
    assert float(stopped) < by_decay["0"][1]


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("schedules.py", ["--shapes", "no/such/x.png"], "--shapes: there is no folder no/such"),
        ("schedules.py", ["--plot", "no/such/x.png"], "--plot: there is no folder no/such"),
        ("schedules.py", ["--seeds", "0"], "--seeds must be at least 1"),
        ("own_layers.py", ["--epochs", "0"], "--epochs must be at least 1"),
        ("decision_boundary.py", ["--data", "circles"], "invalid choice: 'circles'"),
        ("schedules.py", ["--figure", "x.gif"], "--figure must end in .png, .svg or .pdf, got x"),
        ("decision_boundary.py", ["--figure", "x.png"], "--figure must end in .gif, got x.png"),
        ("decision_boundary.py", ["--seed", "-1"], "--seed must be at least 0"),
        ("decision_boundary.py", ["--frames", "1"], "and --frames at least 2"),
        *(
            (
                f"{lesson}.py",
                ["--figure", "x.gif"],
                "--figure must end in .png, .svg or .pdf, got x",
            )
            for lesson in ("regression", *SHORT)
        ),
        ("depth.py", ["--seeds", "0"], "--seeds must be at least 1"),
        ("overfitting.py", ["--seeds", "0"], "--seeds must be at least 1"),
    ],
)
def test_a_lesson_refuses_wrong_arguments(name, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(name, *arguments)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("name", "option", "file", "message"),
    [
        ("schedules.py", "--plot", "x.png", "plot: 'x.png' can't be written (it is a folder)"),
        ("decision_boundary.py", "--figure", "x.GIF", "error: --figure: x.GIF can't be written"),
    ],
)
def test_a_lesson_whose_picture_cannot_be_written_says_so_in_one_line(
    name, option, file, message, tmp_path
):
    (tmp_path / file).mkdir()
    result = run(name, option, file, cwd=tmp_path)
    assert result.returncode in (1, 2)
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_the_boundary_lesson_takes_a_suffix_in_capitals(tmp_path):
    result = run("decision_boundary.py", "--figure", "x.GIF", "--frames", "2", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    with Image.open(tmp_path / "x.GIF") as film:
        assert film.n_frames == 2


def test_without_scikit_learn_the_schedules_lesson_says_what_to_install(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['sklearn'] = None\n")
    result = run("schedules.py", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "pip install 'minidl[course]'" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["own_layers.py", *(f"{lesson}.py" for lesson in LESSONS)])
def test_a_lesson_is_made_of_cells_that_begin_with_words(name):
    text = (EXAMPLES / name).read_text("utf-8")
    kinds = re.findall(r"^# %%(.*)$", text, re.MULTILINE)
    assert kinds[0] == " [markdown]"
    assert {*kinds} == {"", " [markdown]"}
    assert kinds.count(" [markdown]") >= 4


def test_one_process_and_two_end_in_the_same_bits(tmp_path):
    pytest.importorskip("mpi4py", reason="pip install 'minidl[distributed]'")
    one = run("distributed.py", "--epochs", "1", cwd=tmp_path)
    command = [sys.executable, "-m", "minidl", "launch", "-n", "2", EXAMPLES / "distributed.py"]
    two = subprocess.run(
        [*command, "--epochs", "1", "--shard-state"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (first, *same), (other, *again) = one.stdout.splitlines(), two.stdout.splitlines()
    assert same == again
    assert len(same) == 2
    assert (first[0], other[0]) == ("1", "2")
    assert first[1:] == other[1:]
