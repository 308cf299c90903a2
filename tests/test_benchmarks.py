"""The benchmarks compare equal computations; their page and figure show what was measured."""

import gc
import importlib
import itertools
import json
import os
import re
import sys

import numpy as np
import pytest
from cases import ROOT
from drawn import assert_texts_fit

import benchmarks.__main__ as command
from benchmarks import (
    blas,
    capture,
    distributed,
    figure,
    goals,
    growth,
    losses,
    measure,
    networks,
    optimizers,
    report,
    roofline,
    steps,
    subnormals,
    tiny,
    training,
)
from benchmarks.measure import Row

SMALL = "2-16-16-1, batch 32"


def timed(contestant, value, part="steps", task=SMALL, threads=1, unit="s", note=""):
    return Row(part, task, contestant, threads, value, unit, 0.05 * value, note)


ROWS = [
    timed("minidl", 300e-6),
    timed("captured", 30e-6, note="loss 0.6"),
    timed("epoch", 20e-6),
    timed("PyTorch", 1.5e-3),
    timed("JAX", 240e-6),
    timed("JAX scan", 60e-6),
    Row("steps", "", "torch.compile", 1, None, "", None, "torch not installed"),
]
GROWTH = [
    timed(who, 1e-6 * factor * x**0.5, "growth", f"{x:,} {curve}")
    for who, factor in (("minidl", 1), ("JAX", 3))
    for curve in growth.CURVES
    for x in (1, 10, 100, 1000)
]
ROOFLINE = [
    timed("in place", 4e10, "roofline", "memory bandwidth", unit="B/s"),
    timed("minidl", 0.016, "roofline", "Adam", note="560,000,000 B"),
    timed("limit", 0.014, "roofline", "Adam"),
]


# --- the same computation ------------------------------------------------------------------------


OWN = "minidl", "captured", "epoch"


def losses_in_numpy(problem, x, y):
    """The loss of a batch before the first step, in float64."""
    for weight in problem.weights[:-1]:
        x = np.maximum(x @ weight.astype(np.float64), 0)
    x = x @ problem.weights[-1]
    if problem.regression:
        return np.mean((x - y) ** 2)
    return np.mean(np.log(np.exp(x).sum(axis=1)) - x[np.arange(len(x)), y])


@pytest.mark.parametrize("name", list(steps.NETWORKS)[:5])
def test_first_loss_equals_that_of_a_forward_pass_in_numpy(name):
    problem = networks.Problem(name, steps.NETWORKS[name][0])
    loss = losses_in_numpy(problem, problem.x, problem.y)
    assert networks.EPOCHS["minidl"](problem)() == [pytest.approx(loss, rel=1e-5)]


def test_an_epoch_takes_each_batch_of_the_table_once_and_in_order():
    problem = networks.Problem("4-8-3", 6, 5, lr=1e-30)  # too small to change a weight
    expected = [
        losses_in_numpy(problem, problem.x[6 * i : 6 * i + 6], problem.y[6 * i : 6 * i + 6])
        for i in range(5)
    ]
    assert len(set(np.round(expected, 6))) == 5
    for who in OWN:
        epoch = networks.EPOCHS[who](problem)
        for _ in range(3):  # recorded, and replayed
            np.testing.assert_allclose(epoch(), expected, rtol=1e-5)


@pytest.mark.parametrize("name", list(steps.NETWORKS)[:4])
def test_the_ways_of_minidl_to_take_a_step_have_the_same_losses(name):
    problem = networks.Problem(name, steps.NETWORKS[name][0], 3)
    epochs = [networks.EPOCHS[who](problem) for who in OWN]
    for _ in range(3):
        eager, *others = (np.array(epoch(), np.float32) for epoch in epochs)
        for losses_of_steps in others:
            np.testing.assert_array_equal(losses_of_steps, eager)


def test_contestants_do_not_change_the_problem():
    problem = networks.Problem("4-8-3", 6, 3)
    before = [array.copy() for array in (problem.x, problem.y, *problem.weights)]
    for make in (*(networks.EPOCHS[who] for who in OWN), networks.limit_epoch):
        make(problem)()
    after = problem.x, problem.y, *problem.weights
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_different_losses_raise_an_error():
    measure.agree("a network", {"minidl": 1.0, "JAX": 1.0005})
    with pytest.raises(ValueError, match="a network: the losses disagree"):
        measure.agree("a network", {"minidl": 1.0, "JAX": 1.002})


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("SGD", 3), ("SGD, momentum 0.9", 5), ("Lion", 5), ("Adam", 7), ("Adam, amsgrad", 9)],
)
def test_bytes_moved_count_every_array_that_a_rule_reads_or_writes(name, numbers):
    assert roofline.bytes_moved(*roofline.RULES[name]) == 4 * numbers


@pytest.mark.parametrize("name", optimizers.SHAPES)
def test_shapes_have_as_many_weights_as_their_name_says(name):
    weights, tensors = (int(word.replace(",", "")) for word in name.split(" weights in "))
    shapes = optimizers.SHAPES[name]
    assert (sum(map(np.prod, shapes)), len(shapes)) == (weights, tensors)


@pytest.mark.parametrize(
    ("curve", "powers"), [("parameters", range(3, 9)), ("batch", range(5)), ("depth", range(6))]
)
def test_curve_grows_by_powers_of_ten(curve, powers, monkeypatch):
    monkeypatch.setattr(growth, "fits_in_memory", lambda parameters: True)
    xs = [x for x, _ in growth.problems(curve, 1, quick=False)]
    assert xs == pytest.approx([10**power for power in powers], rel=0.05)


def test_deep_network_has_its_layers_and_wide_network_its_parameters():
    for curve in ("parameters", "depth"):
        x, make = list(growth.problems(curve, 1, quick=True))[1]
        weights = make().weights
        count = len(weights) if curve == "depth" else sum(w.size + w.shape[1] for w in weights)
        assert count == x


def test_the_share_of_the_garbage_collector_is_that_of_its_own_time(monkeypatch):
    monkeypatch.setattr(growth, "BUDGET", 0)
    times, share = growth.step_times(gc.collect)
    assert (len(times), 0.5 < share <= 1) == (2, True)
    clock = itertools.count()
    monkeypatch.setattr(growth.time, "perf_counter", lambda: next(clock))
    gc.disable()
    try:
        _, share = growth.step_times(lambda: None)
    finally:
        gc.enable()
    assert share == 0
    assert growth.step_times not in gc.callbacks


@pytest.mark.parametrize(
    ("captured", "eager", "step"),
    [([10, 10, 1], 4, 6), ([3, 5, 3], 4, 1), ([9, 1, 1], 2, 8), ([5], 4, capture.FIRST_STEPS + 1)],
)
def test_recording_is_paid_back_once_all_steps_so_far_took_no_longer(
    captured, eager, step, monkeypatch
):
    waits = itertools.chain(
        itertools.repeat(eager, capture.FIRST_STEPS), captured, itertools.repeat(captured[-1])
    )
    monkeypatch.setattr(capture, "seconds", lambda call: next(waits))
    assert capture.paid_back("2-16-16-1") == step


def test_operations_and_bytes_of_a_step_are_counted_by_hand():
    # forward 2·4·(2·3 + 3·1); backward as many for W, and 2·4·(3·1) for the hidden layer's input
    assert tiny.operations([2, 3, 1], 4) == 72 + 72 + 24
    # forward x, W, b, y; loss p, t, ∂p; backward x, ∂y, ∂W, ∂b; Adam 7 for each of W and b
    assert tiny.bytes_moved([1, 1], 1) == 4 * (4 + 3 + 4 + 14)
    # the hidden layer also reads its y; the last one reads W and writes the gradient of its x
    assert tiny.bytes_moved([1, 1, 1], 1) == 4 * (4 + 4 + 3 + (4 + 1) + (4 + 2) + 28)


def test_the_tables_of_a_tiny_step_list_the_calls_by_their_time():
    text = tiny.tables("2-16-16-1", {"the eager step": 57e-6}, [("a", 1e-6), ("b", 3e-6)] * 2)
    assert text.startswith("| 2-16-16-1, batch 32 | µs |\n|---|---:|\n| the eager step | 57.00 |")
    assert text.endswith("| b | 2 | 6.00 |\n| a | 2 | 2.00 |")


@pytest.mark.parametrize("steps", [0, 300])
def test_rules_are_compared_with_an_ordinary_gradient_and_with_one_that_stays_zero(steps):
    step = subnormals.optimizer_of("Momentum", "float32", steps, 10)
    (w,) = step.__self__.groups[0].params
    before = w.data.copy()
    step()
    assert (step.__self__.t, w.grad.any()) == (11 + steps, steps == 0)
    assert (abs(w.data - before) > 1e-5).any() == (steps == 0)


@pytest.mark.parametrize(("ratio", "status"), [(1.4, 0), (1.6, 1)])
def test_a_rule_that_becomes_too_slow_is_named(ratio, status, monkeypatch, capsys):
    times = {("SGD", "float32"): (1e-6, ratio * 1e-6), ("SGD", "float64"): (2e-6, 1e-6)}
    monkeypatch.setattr(subnormals, "in_child", lambda n, compare, *given: times[given[:2]])
    assert subnormals.main(["--rules", "SGD"]) == status
    output = capsys.readouterr().out
    assert f"| SGD | float32 | 1.0 µs | {ratio:.1f} µs | {ratio:.2f} |" in output
    assert f"largest ratio: {ratio:.2f} (SGD in float32), allowed: 1.5" in output


def test_products_through_each_blas_agree_and_are_shown_by_speed_or_time(monkeypatch, capsys):
    monkeypatch.setattr(blas, "take_turns", lambda calls, repeats: {who: [1e-3] for who in calls})
    monkeypatch.setattr(blas, "in_child", lambda threads, compare, *given: compare(*given))
    blas.main([])
    output = capsys.readouterr().out
    assert re.search(r"^\| \(m, k\)·\(k, n\) \| numpy.dot \| minidl \|", output, re.MULTILINE)
    assert "| (128, 784)·(784, 512) | 103 GF/s | 103 GF/s |" in output  # 2·128·784·512 in 1 ms
    assert "| (32, 2)·(2, 16) | 10.00 µs | 10.00 µs |" in output  # 100 of them in 1 ms


def test_a_wrong_product_is_not_timed(monkeypatch):
    monkeypatch.setattr(np, "dot", lambda a, b: a @ b + 1)
    with pytest.raises(ValueError, match=r"numpy\.dot computes another product"):
        blas.compare(32, 2, 16, 1)


@pytest.mark.parametrize("way", training.EPOCHS)
def test_a_bare_loop_and_fit_end_with_the_same_loss(way):
    assert training.bare(way, 2) == training.fitted(way, 2)


def test_a_file_is_as_large_as_what_is_written_plainly(monkeypatch, tmp_path):
    sizes = []

    def turns(calls, repeats, quick):
        for call in calls.values():
            call()
        sizes.extend(path.stat().st_size for path in sorted(tmp_path.glob("*/*")))
        return {who: [1.0] for who in calls}

    monkeypatch.setattr(training, "take_turns", turns)
    monkeypatch.setattr(training.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(training, "LARGE", (350, 250, 350))
    rows = training.compare_files(1, 1, quick=False)
    assert len(sizes) == 4
    assert {*sizes} == {sizes[0]}
    assert [row.task for row in rows[::2]] == ["save, 1 MB", "load, 1 MB"]
    assert sizes[0] > 4 * weights((350, 250, 350))


def test_estimators_of_both_libraries_take_equal_steps(monkeypatch):
    estimators = pytest.importorskip("sklearn.base") and importlib.import_module(
        "benchmarks.sklearn"
    )
    monkeypatch.setattr(estimators, "problems", lambda: {"houses": (*estimators.houses(60), False)})
    monkeypatch.setattr(estimators, "QUICK", {"max_iter": 3})
    rows = estimators.compare(1, quick=True)
    notes = {row.contestant: row.note for row in rows}
    assert list(notes) == ["minidl", "minidl, float64", "scikit-learn"]
    assert len(set(notes.values())) == 1
    assert notes["minidl"].startswith("3 epochs, R² ")


# --- processes and turns -------------------------------------------------------------------------


def test_contestants_take_turns_and_are_called_equally_often(monkeypatch):
    monkeypatch.setattr(measure, "PAUSE", 0)
    calls = []
    times = measure.take_turns(
        {who: lambda w=who: calls.append(w) for who in "ab"}, 2, block=0, least=4
    )
    assert [len(values) for values in times.values()] == [8, 8]
    assert calls.count("a") == calls.count("b")
    assert calls[-24:] == 2 * (6 * ["a"] + 6 * ["b"])


def test_confined_sets_threads_drops_other_settings_and_restores_all(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    before, cores = dict(os.environ), measure.cores()
    with measure.confined(1):
        assert {os.environ[name] for name in measure.SET} == {"1"}
        assert "OPENBLAS_CORETYPE" not in os.environ
        assert measure.cores() == 1 or not hasattr(os, "sched_setaffinity")
    assert (dict(os.environ), measure.cores()) == (before, cores)


def test_child_is_confined():
    assert measure.in_child(1, os.getenv, "OMP_NUM_THREADS") == "1"


# --- goals, page, figure -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contestant", "seconds", "met"),
    [
        ("PyTorch", 226e-6, True),
        ("PyTorch", 224e-6, False),
        ("JAX", 56e-6, True),
        ("JAX scan", 12e-6, False),
        ("minidl", 45e-6, True),
        ("minidl", 44e-6, False),
    ],
)
def test_contestant_must_be_slower_by_the_factor_of_the_goal(contestant, seconds, met):
    row = timed(contestant, seconds)
    assert goals.base(row) == ("epoch" if contestant == "JAX scan" else "captured")
    assert goals.reached(goals.goal_of(row), row, timed(goals.base(row), 5e-6)) == met


@pytest.mark.parametrize(("value", "met"), [(20, True), (21, False)])
def test_what_has_no_other_contestant_has_a_goal_in_its_own_unit(value, met):
    row = timed("captured", value, "capture", f"paid back, {SMALL}", unit="steps")
    assert goals.reached(goals.goal_of(row), row, row) == met
    mark = f"{value} steps {'✓' if met else '✗'} (≤ 20 steps)"
    assert f"| paid back, {SMALL} | 1 | {mark} |" in report.table([row])


@pytest.mark.parametrize(("seconds", "met"), [(1.11e-3, True), (1.13e-3, False)])
def test_limit_may_be_exceeded_by_the_factor_of_the_goal(seconds, met):
    row = timed("limit", 1e-3)
    assert goals.reached(goals.goal_of(row), row, timed("captured", seconds)) == met


def weights(sizes):
    return sum((n + 1) * m for n, m in itertools.pairwise(sizes))


def test_every_goal_applies_to_a_measured_task():
    tasks = {
        "steps": list(steps.TASKS.values()),
        "capture": [*capture.LAYERS, "a step of fit"]
        + [f"paid back, {steps.TASKS[name]}" for name in capture.PAYING],
        "training": [
            *(f"fit beyond the bare loop, {way}" for way in training.EPOCHS),
            f"save, {4 * weights(training.LARGE) / 1e6:.0f} MB",
        ],
        "losses": [f"{n:,} × {classes:,}" for n, classes in losses.SHAPES],
        "optimizers": [
            f"{r}, {s}" for r in ("Adam", *optimizers.OTHERS) for s in optimizers.SHAPES
        ],
    }
    for goal in goals.GOALS:
        assert goal.part in report.PARTS
        assert goal.task is None or goal.task in tasks.get(goal.part, [goal.task])


def test_table_shows_ratios_goals_and_skipped_libraries():
    text = report.table(ROWS)
    cells = "300 µs = 10.00× ✓ (≥ 9×)", "30 µs", "20 µs", "1.5 ms = 50.00× ✓ (≥ 45×)"
    cells += "240 µs = 8.00× ✗ (≥ 11×)", "60 µs = 3.00× ✓ (≥ 2.5×)"
    assert f"| {SMALL} | 1 | {' | '.join(cells)} | 5% |" in text
    assert "Skipped: torch.compile (torch not installed)." in text
    assert f"- {SMALL}, 1 thread: captured loss 0.6" in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (31.23e-6, "s", "31.2 µs"),
        (0.0456, "s", "45.6 ms"),
        (12.0, "s", "12 s"),
        (1.5e-9, "s", "0.0015 µs"),
        (4.83e10, "B/s", "48.3 GB/s"),
        (7.51e8, "B", "751 MB"),
        (1.2345e9, "B", "1,234 MB"),
    ],
)
def test_amount_has_three_digits_and_a_common_unit(value, unit, text):
    assert report.amount(value, unit) == text


@pytest.mark.parametrize("exponent", [-1, 0, 0.5, 1, 2])
def test_slope_of_a_power_law_is_its_exponent(exponent):
    x = np.array([1.0, 10, 100, 1000])
    assert growth.slope(x, 3 * x**exponent) == pytest.approx(exponent, abs=1e-12)


def test_curves_are_read_from_rows():
    x, y, slope = growth.curves(GROWTH)["depth"]["JAX"]
    assert list(x) == [1, 10, 100, 1000]
    np.testing.assert_allclose(y, 3e-6 * x**0.5)
    assert slope == pytest.approx(0.5)


@pytest.fixture
def measured(monkeypatch):
    """Replace the measurements by fixed rows, and return the list of their calls."""
    calls = []
    for part, rows in (("steps", ROWS), ("growth", GROWTH), ("roofline", ROOFLINE)):
        module = importlib.import_module(f"benchmarks.{part}")

        def pretend(repeats, quick, part=part, rows=rows):
            calls.append((part, repeats, quick))
            return rows

        monkeypatch.setattr(module, "measure", pretend)
    return calls


def test_command_runs_the_given_parts_and_keeps_the_others(measured, tmp_path):
    command.main(["steps", "--out", str(tmp_path)])
    command.main(["growth", "roofline", "--quick", "--repeats", "4", "--out", str(tmp_path)])
    assert measured == [("steps", 10, False), ("growth", 4, True), ("roofline", 2, True)]
    page = (tmp_path / "benchmarks.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## steps",
        "## roofline",
        "## growth",
    ]
    assert "**goals**: 4 of 5 reached" in page
    assert (tmp_path / "benchmarks.png").read_bytes().startswith(b"\x89PNG")
    command.main(["--redraw", "--out", str(tmp_path)])
    assert (tmp_path / "benchmarks.md").read_text() == page
    assert len(measured) == 3


def test_the_figure_of_the_stored_results_names_each_library_and_its_texts_do_not_overlap(tmp_path):
    stored = json.loads((ROOT / "docs" / "benchmarks.json").read_text("utf-8"))["parts"]
    parts = {name: [Row(**row) for row in part["rows"]] for name, part in stored.items()}
    drawn = figure.draw(parts, tmp_path / "benchmarks.png")
    texts = {text.get_text(): text for text in assert_texts_fit(drawn)}
    assert {"minidl", "minidl, captured", "PyTorch", "JAX", "1 thread"} <= texts.keys()
    assert min(text.get_fontsize() for text in texts.values()) >= 13
    for curve, lines in growth.curves(parts["growth"]).items():
        title, _ = figure.AXES[curve]
        (axes,) = (axes for axes in drawn.axes if axes.get_title(loc="left") == title)
        slopes = sorted(re.search(r"-?\d+\.\d+", text.get_text())[0] for text in axes.texts)
        assert slopes == sorted(f"{slope:.2f}" for _, _, slope in lines.values())


def test_command_needs_no_matplotlib(measured, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    command.main(["steps", "--out", str(tmp_path)])
    assert "No figure: it needs Matplotlib" in capsys.readouterr().out
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md"}


def test_unknown_part_raises_an_error_that_lists_the_parts(capsys):
    with pytest.raises(SystemExit):
        command.main(["stairs"])
    assert "unknown part: stairs; choose from steps, " in capsys.readouterr().err


# --- distributed --------------------------------------------------------------------------------


def test_a_predicted_step_is_that_of_the_formula_worked_out_by_hand():
    # 8 ranks: 7 messages in each of two phases, 3 rounds to meet; 2 · 80 · 7/8 bytes at 10 a second
    assert distributed.predicted(8, 16.0, 3.0, 80, 0.5, 10) == 2 + 3 + 17 * 0.5 + 14
    assert distributed.predicted(1, 16.0, 3.0, 80, 0.5, 10) == 16 + 3


@pytest.mark.parametrize("arguments", [(256, False), (65536, True)])
def test_the_page_on_scaling_has_the_tables_of_the_model(arguments):
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert distributed.scaling(*arguments) in text


def test_without_mpi4py_several_processes_are_skipped(monkeypatch):
    monkeypatch.setattr(distributed.importlib.util, "find_spec", lambda name: None)
    (skipped,) = distributed.measure(1, quick=True)
    assert (skipped.value, skipped.note) == (None, "mpi4py not installed")
