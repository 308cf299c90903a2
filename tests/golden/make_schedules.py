"""Write schedules.json: rates of the schedules of PyTorch, Optax and Keras, and ReduceLROnPlateau.

    python tests/golden/make_schedules.py

This needs PyTorch 2.13 (CPU), JAX 0.10, Optax 0.2.8 and Keras 3.15. It computes in float64 and
writes the same bytes in every run. Each schedule is stored with the equal minidl schedule, both as
[name, arguments]; an argument that is a schedule is stored in the same form.
"""

import itertools
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"  # with JAX, Keras computes its cosine in float32

import jax
import keras
import numpy as np
import optax
import shared
import torch
from torch.optim import lr_scheduler

SEED = 20260102
LR = 0.1  # of the optimizer that a PyTorch scheduler controls
STEPS = 45  # rates are stored for t = 0 … 44, or fewer if the libraries differ later
CALLS = 40  # of ReduceLROnPlateau.step
STAIRS = [False, True]


def call(name, **arguments):
    return [name, arguments]


# Each of the next three functions yields a library's schedule, the equal minidl schedule, and
# optionally the number of steps for which the two agree.


def pytorch_pairs():
    for every, factor in [(1, 0.9), (3, 0.5), (10, 0.1), (50, 0.1)]:
        ours = call("StepDecay", lr=LR, every=every, factor=factor)
        yield call("StepLR", step_size=every, gamma=factor), ours

    # A milestone is the first step of the next piece, a boundary the last step of the previous one.
    for milestones, factor, values in [
        ([10], 0.1, [LR, LR * 0.1]),
        ([1, 2, 30], 0.5, [LR, LR * 0.5, LR * 0.25, LR * 0.125]),
        ([5, 5, 20], 0.9, [LR, LR * 0.9**2, LR * 0.9**3]),
    ]:
        boundaries = [milestone - 1 for milestone in sorted(set(milestones))]
        ours = call("PiecewiseConstant", boundaries=boundaries, values=values)
        yield call("MultiStepLR", milestones=milestones, gamma=factor), ours

    for factor, steps in [(1 / 3, 5), (0.5, 1), (0.1, 20)]:
        ours = call("PiecewiseConstant", boundaries=[steps - 1], values=[LR * factor, LR])
        yield call("ConstantLR", factor=factor, total_iters=steps), ours

    for rate in (0.9, 0.5, 1.0, 1.01):
        yield call("ExponentialLR", gamma=rate), call("ExponentialDecay", lr=LR, rate=rate)

    for start, end, steps in [(1.0, 0.1, 10), (0.5, 0.0, 7), (1.0, 0.0, 45), (0.2, 1.0, 4)]:
        ours = call("LinearDecay", lr=LR * start, steps=steps, end=LR * end)
        yield call("LinearLR", start_factor=start, end_factor=end, total_iters=steps), ours

    for start, end, steps in [(0.1, 1.0, 1), (1 / 3, 1.0, 5), (0.01, 1.0, 30), (0.25, 0.5, 8)]:
        ours = call("WarmUp", schedule=LR * end, steps=steps, start=LR * start)
        yield call("LinearLR", start_factor=start, end_factor=end, total_iters=steps), ours

    for steps, power in [(5, 1.0), (40, 2.0), (30, 0.5), (44, 0.9), (1, 3.0)]:
        ours = call("PolynomialDecay", lr=LR, steps=steps, power=power)
        yield call("PolynomialLR", total_iters=steps, power=power), ours

    for steps, end in [(1, 0.0), (7, 0.01), (30, 0.0), (44, 0.2)]:
        ours = call("CosineDecay", lr=LR, steps=steps, end=end)
        yield (
            call("CosineAnnealingLR", T_max=steps, eta_min=end),
            ours,
            steps + 1,
        )  # PyTorch's rate rises after that

    for steps, multiply, end in [(1, 1, 0.0), (7, 1, 0.01), (1, 2, 0.0), (5, 2, 0.01), (4, 3, 0.0)]:
        theirs = call("CosineAnnealingWarmRestarts", T_0=steps, T_mult=multiply, eta_min=end)
        yield theirs, call("CosineRestarts", lr=LR, steps=steps, multiply=multiply, end=end)

    for (mode, decay), (low, high, half) in itertools.product(
        [("triangular", 1.0), ("triangular2", 0.5)],
        [(0.01, 0.1, 4), (0.0, 1.0, 1), (0.001, 0.003, 15)],
    ):
        cycle = {"base_lr": low, "max_lr": high, "step_size_up": half, "mode": mode}
        ours = call("Triangular", low=low, high=high, half_period=half, decay=decay)
        yield call("CyclicLR", **cycle, cycle_momentum=False), ours

    for steps, start, first, last in [
        (10, 0.3, 25.0, 1e4),
        (45, 0.3, 25.0, 1e4),
        (31, 0.25, 10.0, 100.0),
        (37, 0.5, 4.0, 1.0),
        (44, 0.1, 100.0, 1e4),
        (7, 0.9, 2.0, 3.0),
        (20, 0.45, 25.0, 1e4),
    ]:
        cycle = {"total_steps": steps, "pct_start": start, "cycle_momentum": False}
        factors = {"initial_factor": first, "final_factor": last}
        yield (
            call("OneCycleLR", max_lr=LR, **cycle, div_factor=first, final_div_factor=last),
            call("OneCycle", peak=LR, steps=steps, start_fraction=start, **factors),
            steps,
        )

    up = call("LinearLR", start_factor=0.1, total_iters=5)
    ours = call("WarmUp", schedule=LR, steps=5, start=LR * 0.1)
    yield (
        call("SequentialLR", schedulers=[up, call("ExponentialLR", gamma=0.9)], milestones=[5]),
        call("WarmUp", schedule=call("ExponentialDecay", lr=LR, rate=0.9), steps=5, start=LR * 0.1),
    )
    yield (
        call("SequentialLR", schedulers=[up, call("CosineAnnealingLR", T_max=30)], milestones=[8]),
        call("Sequence", parts=[[ours, 8], call("CosineDecay", lr=LR, steps=30)]),
        39,
    )
    step = call("StepLR", step_size=4, gamma=0.5)
    power = call("PolynomialLR", total_iters=12, power=2.0)
    parts = [
        [ours, 6],
        [call("StepDecay", lr=LR, every=4, factor=0.5), 15],
        call("PolynomialDecay", lr=LR, steps=12, power=2.0),
    ]
    yield (
        call("SequentialLR", schedulers=[up, step, power], milestones=[6, 21]),
        call("Sequence", parts=parts),
    )


def optax_pairs():
    constant = call("constant_schedule", value=LR)
    yield constant, call("Constant", lr=LR)

    # Here, too, a boundary is the first step of the next piece.
    scales = {1: 0.5, 10: 0.1, 30: 4.0}
    values = [LR, LR * 0.5, LR * 0.5 * 0.1, LR * 0.5 * 0.1 * 4]
    yield (
        call("piecewise_constant_schedule", init_value=LR, boundaries_and_scales=scales),
        call("PiecewiseConstant", boundaries=[0, 9, 29], values=values),
    )

    def late(decay, begin):
        return call("Sequence", parts=[[call("Constant", lr=LR), begin], decay])

    for (rate, steps), staircase in itertools.product([(0.5, 10), (0.9, 1), (1.1, 3)], STAIRS):
        decay = {"transition_steps": steps, "decay_rate": rate, "staircase": staircase}
        ours = call("ExponentialDecay", lr=LR, rate=rate, steps=steps, staircase=staircase)
        yield call("exponential_decay", init_value=LR, **decay), ours
        yield call("exponential_decay", init_value=LR, **decay, transition_begin=6), late(ours, 6)
        warm = {"init_value": 0.01, "peak_value": LR, "warmup_steps": 6}
        ours = call("WarmUp", schedule=ours, steps=6, start=0.01)
        yield call("warmup_exponential_decay_schedule", **warm, **decay), ours

    for steps, end, power in [(10, 0.01, 2.0), (30, 0.0, 0.5), (1, 0.2, 1.0), (40, 0.3, 3.0)]:
        decay = {"init_value": LR, "end_value": end, "power": power, "transition_steps": steps}
        ours = call("PolynomialDecay", lr=LR, steps=steps, end=end, power=power)
        yield call("polynomial_schedule", **decay), ours
        yield call("polynomial_schedule", **decay, transition_begin=3), late(ours, 3)

    for steps, end in [(1, 0.0), (13, 0.01), (44, 0.0)]:
        ours = call("LinearDecay", lr=LR, steps=steps, end=end)
        yield call("linear_schedule", init_value=LR, end_value=end, transition_steps=steps), ours
        warm = {"init_value": end, "peak_value": LR, "warmup_steps": steps}
        ours = call("WarmUp", schedule=LR, steps=steps, start=end)
        yield call("warmup_constant_schedule", **warm), ours

    for steps, alpha in [(1, 0.0), (13, 0.1), (44, 0.0)]:
        ours = call("CosineDecay", lr=LR, steps=steps, end=LR * alpha)
        yield call("cosine_decay_schedule", init_value=LR, decay_steps=steps, alpha=alpha), ours

    for start, warmup, steps, end in [(0.0, 5, 35, 0.0), (0.02, 1, 20, 0.01), (0.2, 20, 45, 0.05)]:
        warm = {"init_value": start, "peak_value": LR, "warmup_steps": warmup}
        ours = call("CosineDecay", lr=LR, steps=steps - warmup, end=end)
        ours = call("WarmUp", schedule=ours, steps=warmup, start=start)
        yield call("warmup_cosine_decay_schedule", **warm, decay_steps=steps, end_value=end), ours

    for steps, start, first, last in [(30, 0.3, 25.0, 1e4), (41, 0.25, 10.0, 100.0)]:
        cycle = {"pct_start": start, "div_factor": first, "final_div_factor": last}
        theirs = call("cosine_onecycle_schedule", transition_steps=steps, peak_value=LR, **cycle)
        top = int(start * steps)  # the step of the peak; the end is one step later than in PyTorch
        factors = {"initial_factor": first, "final_factor": last}
        fraction = (top + 1) / (steps + 1)
        ours = call("OneCycle", peak=LR, steps=steps + 1, start_fraction=fraction, **factors)
        yield theirs, ours, steps + 1
        ours = call("CosineDecay", lr=LR, steps=steps - top, end=LR / first / last)
        yield theirs, call("WarmUp", schedule=ours, steps=top, start=LR / first, shape="cosine")

    ours = call("LinearDecay", lr=LR, steps=22, end=LR / 25)
    ours = call("WarmUp", schedule=ours, steps=12, start=LR / 25)
    last = call("LinearDecay", lr=LR / 25, steps=6, end=LR / 25 / 1e4)
    yield (
        call("linear_onecycle_schedule", transition_steps=40, peak_value=LR),
        call("Sequence", parts=[[ours, 34], last]),
    )

    for kind, decay in [("linear", "LinearDecay"), ("cosine", "CosineDecay")]:
        points = {"init_value": LR, "boundaries_and_scales": {7: 0.5, 30: 0.1}}
        first = call(decay, lr=LR, steps=7, end=LR * 0.5)
        last = call(decay, lr=LR * 0.5, steps=23, end=LR * 0.5 * 0.1)
        yield (
            call("piecewise_interpolate_schedule", interpolate_type=kind, **points),
            call("Sequence", parts=[[first, 7], last]),
        )

    def restarts(warmup):
        """Three periods, each twice as long and half as high as the previous one."""
        kwargs, parts = [], []
        for peak, steps in [(LR, 6), (LR / 2, 12), (LR / 4, 24)]:
            warm = {"init_value": 0.0, "peak_value": peak, "warmup_steps": warmup}
            kwargs.append({**warm, "decay_steps": steps, "end_value": 0.001})
            ours = call("CosineDecay", lr=peak, steps=steps - warmup, end=0.001)
            parts.append([call("WarmUp", schedule=ours, steps=warmup), steps])
        parts[-1] = parts[-1][0]
        return call("sgdr_schedule", cosine_kwargs=kwargs), call("Sequence", parts=parts)

    ours = call("CosineRestarts", lr=LR, steps=6, multiply=2, decay=0.5, end=0.001)
    yield restarts(0)[0], ours, 42
    yield restarts(3)

    up = call("linear_schedule", init_value=0.0, end_value=LR, transition_steps=8)
    down = call("linear_schedule", init_value=LR, end_value=0.02, transition_steps=10)
    wave = call("cosine_decay_schedule", init_value=LR, decay_steps=10, alpha=0.2)
    half = call("exponential_decay", init_value=LR, transition_steps=5, decay_rate=0.5)
    our_up = call("WarmUp", schedule=LR, steps=8)
    our_down = call("LinearDecay", lr=LR, steps=10, end=0.02)
    our_wave = call("CosineDecay", lr=LR, steps=10, end=LR * 0.2)
    our_half = call("ExponentialDecay", lr=LR, rate=0.5, steps=5)
    yield (
        call("join_schedules", schedules=[up, constant, down], boundaries=[8, 20]),
        call("warmup_stable_decay", peak=LR, warmup=8, stable=12, cooldown=10, end=0.02),
    )
    yield (
        call("join_schedules", schedules=[up, constant, wave], boundaries=[8, 20]),
        call("CoolDown", schedule=our_up, at=20, steps=10, end=LR * 0.2, shape="cosine"),
    )
    low = call("constant_schedule", value=LR * 0.5**4)
    yield (
        call("join_schedules", schedules=[half, low], boundaries=[20]),
        call("Hold", schedule=our_half, at=20),
    )
    inner = call("join_schedules", schedules=[up, down], boundaries=[8])
    our_inner = call("WarmUp", schedule=our_down, steps=8)
    yield (
        call("join_schedules", schedules=[wave, half, inner], boundaries=[7, 15]),
        call("Sequence", parts=[[our_wave, 7], [our_half, 8], our_inner]),
    )


def keras_pairs():
    for boundaries, values in [([10], [LR, 0.01]), ([1, 2, 30], [0.1, 0.5, 0.2, 0.3])]:
        pieces = {"boundaries": boundaries, "values": values}
        yield call("PiecewiseConstantDecay", **pieces), call("PiecewiseConstant", **pieces)

    for (rate, steps), staircase in itertools.product([(0.5, 10), (0.9, 1)], STAIRS):
        theirs = {"initial_learning_rate": LR, "decay_steps": steps, "decay_rate": rate}
        ours = {"lr": LR, "rate": rate, "steps": steps, "staircase": staircase}
        for name in ("ExponentialDecay", "InverseTimeDecay"):
            yield call(name, **theirs, staircase=staircase), call(name, **ours)

    for steps, end, power in [(10, 0.01, 2.0), (30, 0.0, 0.5), (1, 0.0001, 1.0)]:
        theirs = {"initial_learning_rate": LR, "decay_steps": steps, "end_learning_rate": end}
        ours = call("PolynomialDecay", lr=LR, steps=steps, end=end, power=power)
        yield call("PolynomialDecay", **theirs, power=power), ours

    for steps, alpha in [(1, 0.0), (13, 0.1), (44, 0.0)]:
        ours = call("CosineDecay", lr=LR, steps=steps, end=LR * alpha)
        theirs = {"decay_steps": steps, "alpha": alpha}
        yield call("CosineDecay", initial_learning_rate=LR, **theirs), ours
        warm = {"initial_learning_rate": 0.02, "warmup_target": LR, "warmup_steps": 6}
        ours = call("WarmUp", schedule=ours, steps=6, start=0.02)
        yield call("CosineDecay", **warm, **theirs), ours

    for steps, multiply, decay, alpha in [
        (5, 2, 1.0, 0.0),
        (5, 2, 1.0, 0.1),
        (7, 1, 0.5, 0.0),
        (4, 3, 0.9, 0.0),
    ]:
        theirs = {"first_decay_steps": steps, "t_mul": float(multiply), "m_mul": decay}
        ours = {"lr": LR, "steps": steps, "multiply": multiply, "decay": decay, "end": LR * alpha}
        yield (
            call("CosineDecayRestarts", initial_learning_rate=LR, **theirs, alpha=alpha),
            call("CosineRestarts", **ours),
        )


def build(library, description, *first):
    """The schedule of a library described by [name, arguments], built recursively."""
    name, arguments = description
    inner = {
        key: [build(library, one, *first) for one in arguments[key]]
        for key in ("schedulers", "schedules")
        if key in arguments
    }
    return getattr(library, name)(*first, **{**arguments, **inner})


def optimizer(lr=LR):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def pytorch_rates(description, steps):
    sgd = optimizer()
    scheduler = build(lr_scheduler, description, sgd)
    for _ in range(steps):
        yield sgd.param_groups[0]["lr"]
        sgd.step()
        scheduler.step()


def optax_rates(description, steps):
    return map(float, map(build(optax, description), range(steps)))


def keras_rates(description, steps):
    return map(float, map(build(keras.optimizers.schedules, description), range(steps)))


def plateau(rng, mode, patience, cooldown):
    """The state of ReduceLROnPlateau after each call, for a random sequence of metrics."""
    lr = rng.choice(
        [0.1, 1e-6, 3e-8]
    )  # the low ones reach the bound where eps = 1e-8 stops the decrease
    options = {
        "lr": lr,
        "factor": rng.choice([0.1, 0.5, 0.9]),
        "patience": patience,
        "cooldown": cooldown,
        "threshold": rng.choice([0.0, 1e-4, 0.1]),
        "min_lr": rng.choice([0.0, lr / 5]),
        "mode": mode,
    }
    options = {name: x.item() if hasattr(x, "item") else x for name, x in options.items()}
    slope, noise, level = rng.choice([0, 0.02, 0.1]), rng.choice([0, 0.05, 0.3]), rng.normal()
    trend = level + slope * np.arange(CALLS) + noise * rng.normal(size=CALLS)
    metrics = (trend if mode == "max" else -trend).round(
        rng.integers(1, 4)
    )  # rounded, so that ties occur
    nonfinite = rng.random(CALLS) < rng.choice([0, 0.15])
    metrics[nonfinite] = rng.choice([np.nan, np.inf, -np.inf], nonfinite.sum(), p=[0.8, 0.1, 0.1])
    given, sgd = dict(options), optimizer(lr)
    del given["lr"]
    scheduler = lr_scheduler.ReduceLROnPlateau(sgd, **given)
    seen = {name: [] for name in ("lr", "num_bad_epochs", "cooldown_counter", "best")}
    for metric in metrics:
        scheduler.step(metric)
        seen["lr"].append(sgd.param_groups[0]["lr"])
        seen["num_bad_epochs"].append(scheduler.num_bad_epochs)
        seen["cooldown_counter"].append(scheduler.cooldown_counter)
        seen["best"].append(as_json(scheduler.best))
    return {"options": options, "metrics": list(map(as_json, metrics)), **seen}


def as_json(x):
    """A finite number, or "nan", "inf" or "-inf", which JSON lacks; float() reads all of them."""
    return float(x) if np.isfinite(x) else str(float(x))


def main():
    head = shared.about(__file__, SEED, torch="2.13", jax="0.10", optax="0.2.8", keras="3.15")
    jax.config.update("jax_enable_x64", True)
    keras.config.set_floatx("float64")
    schedules = [
        {"library": library, "theirs": theirs, "minidl": ours, "rates": list(rates(theirs, *steps))}
        for library, rates, pairs in [
            ("PyTorch", pytorch_rates, pytorch_pairs()),
            ("Optax", optax_rates, optax_pairs()),
            ("Keras", keras_rates, keras_pairs()),
        ]
        for theirs, ours, *steps in ((*pair, STEPS)[:3] for pair in pairs)
    ]
    rng = np.random.default_rng(SEED)
    plateaus = [
        plateau(rng, mode, patience, cooldown)
        for _ in range(3)
        for mode in ("min", "max")
        for patience in range(4)
        for cooldown in range(4)
    ]
    head["optimizer's lr"] = LR
    path = Path(__file__).with_name("schedules.json")
    shared.write(path, head, schedules=schedules, plateaus=plateaus)


if __name__ == "__main__":
    main()
