"""The checks of arguments: what they accept, in which type, and their error messages."""

import math
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import minidl as dl
from minidl import _checks

NUMBERS = [0, 3, 0.25, Fraction(1, 4), 2**1000]
NUMBERS += [kind(2) for kind in (np.float16, np.float32, np.float64, np.int8, np.uint64)]
NOT_NUMBERS = [None, True, False, np.True_, "1", b"1", 1j, [1.0], (1.0,), {}, np.ones(1)]
NOT_NUMBERS += [np.array(1.0), Decimal(1), object, np.complex64(1)]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: repr(value)[:20])
def test_number_accepts_any_real_number_and_returns_a_float(value):
    x = _checks.number("Rule", "lr", value)
    assert type(x) is float
    assert x == value


@pytest.mark.parametrize("zero", [-0.0, np.float32(-0.0), np.float64(-0.0)], ids=repr)
def test_number_turns_minus_zero_into_zero(zero):
    assert math.copysign(1, _checks.number("Rule", "lr", zero)) == 1


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=lambda value: repr(value)[:20])
def test_number_refuses_anything_but_a_real_number(value):
    message = f"Rule: lr must be a finite number ≥ 0, got {value!r} ({type(value).__name__})"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        _checks.number("Rule", "lr", value)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, np.float32("nan"), -1, -1e-300, 10**400, -(10**400)],
    ids=lambda value: repr(value)[:20],
)
def test_number_refuses_a_negative_or_non_finite_value(value):
    message = f"Rule: lr must be a finite number ≥ 0, got {value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _checks.number("Rule", "lr", value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -(10**400)])
def test_number_without_bounds_must_still_be_finite(value):
    with pytest.raises(ValueError, match=r"^Rule: p must be a finite number, got"):
        _checks.number("Rule", "p", value, -math.inf)


INTERVALS = [
    ({"above": True}, "> 0", [5e-324, 1e308], [0, -0.0, -1]),
    ({"high": 1}, "≥ 0 and ≤ 1", [0, 0.5, 1], [-1e-9, 1.0000001]),
    ({"high": 1, "below": True}, "≥ 0 and < 1", [0, 0.9999999], [1, 2, -1]),
    ({"low": -math.inf, "high": 0}, "≤ 0", [-1e308, 0], [1e-300, 1]),
    ({"low": -2, "high": 3, "above": True, "below": True}, "> -2 and < 3", [-1.9, 2.9], [-2, 3]),
]


@pytest.mark.parametrize(("bounds", "expected", "inside", "outside"), INTERVALS)
def test_number_stays_inside_its_bounds(bounds, expected, inside, outside):
    assert [_checks.number("Rule", "x", value, **bounds) for value in inside] == inside
    for value in outside:
        message = f"Rule: x must be a finite number {expected}, got {value!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            _checks.number("Rule", "x", value, **bounds)


@pytest.mark.parametrize("value", [1, 7, 10**400, np.int8(5), np.uint64(2**64 - 1)])
def test_count_accepts_any_whole_number_and_returns_an_int(value):
    n = _checks.count("Rule", "steps", value)
    assert type(n) is int
    assert n == value


@pytest.mark.parametrize("value", [1.0, 2.5, np.float64(3), math.nan, Fraction(3), *NOT_NUMBERS])
def test_count_refuses_anything_but_a_whole_number(value):
    message = f"Rule: steps must be a whole number ≥ 1, got {value!r} ({type(value).__name__})"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        _checks.count("Rule", "steps", value)


@pytest.mark.parametrize(
    ("value", "low"), [(0, 1), (-3, 1), (-1, 0), (np.int64(1), 2), (-(10**400), 0)]
)
def test_count_refuses_a_number_that_is_too_small(value, low):
    message = f"Rule: steps must be a whole number ≥ {low}, got {value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _checks.count("Rule", "steps", value, low)


def test_count_accepts_its_lowest_value():
    assert [_checks.count("Rule", "t", low, low) for low in (0, 1, 5)] == [0, 1, 5]


@pytest.mark.parametrize("value", [True, False])
def test_flag_returns_true_and_false(value):
    assert _checks.flag("Rule", "nesterov", value) is value


@pytest.mark.parametrize("value", [0, 1, 0.0, None, "True", "", [], np.int64(1), np.ones(1)])
def test_flag_refuses_other_truthy_and_falsy_values(value):
    message = f"Rule: nesterov must be True or False, got {value!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        _checks.flag("Rule", "nesterov", value)


def test_a_state_must_be_one_of_the_same_kind_of_generator():
    own, before = np.random.PCG64(0), np.random.PCG64(0).state
    _checks.generator_state("Rule", own, np.random.PCG64(1).state)
    for state in (np.random.Philox(1).state, {**before, "state": {}}, {}, None):
        message = "^Rule: the generator is a PCG64, which can't have the saved state"
        with pytest.raises(ValueError, match=message):
            _checks.generator_state("Rule", own, state)
    assert own.state == before


@pytest.mark.parametrize("word", ["linear", "cosine", np.str_("cosine")])
@pytest.mark.parametrize("allowed", [("linear", "cosine"), {"linear": 1, "cosine": 2}])
def test_choice_returns_an_allowed_word(word, allowed):
    assert _checks.choice("Rule", "shape", word, allowed) == word


@pytest.mark.parametrize("value", ["Linear", "", "lin", None, 1, True, ["linear"], b"linear"])
def test_choice_refuses_anything_else_and_lists_the_allowed_words(value):
    message = f"Rule: shape must be one of 'linear', 'cosine', got {value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _checks.choice("Rule", "shape", value, ("linear", "cosine"))


@pytest.mark.parametrize("value", ["Linear", "LINEAR", "liner"])
def test_choice_with_a_hint_says_which_word_was_meant(value):
    message = f"must be one of 'linear', 'cosine', got {value!r}. Did you mean 'linear'?"
    with pytest.raises(ValueError, match=f"^Rule: shape {re.escape(message)}$"):
        _checks.choice("Rule", "shape", value, ("linear", "cosine"), hint=True)


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("adam", ["SGD", "Adam", "AdamW"], "Adam"),
        ("Adma", ["SGD", "Adam", "AdamW"], "Adam"),
        ("RMS_Prop", ["RMSprop"], "RMSprop"),
        ("two_wells", ["two-wells"], "two-wells"),
        ("learning_rate", ["lr", "betas"], "lr"),
        ("beta_1", ["lr", "betas"], "betas"),
        ("rho", ["alpha", "eps"], "alpha"),
        ("rho", ["rho", "eps"], "rho"),
        ("l2", ["l1", "l2", "weight_decay"], "l2"),
        ("l2", ["lr", "weight_decay"], "weight_decay"),
        ("momentum", ["lr", "beta"], "beta"),
        ("epsilom", ["lr", "eps"], "eps"),
        ("MSELoss", ["mse", "MSE"], "MSE"),
        ("MSELoss", ["MSE", "mse"], "MSE"),
        ("mse_loss", ["MSE", "mse"], "mse"),
        ("mse_loss", ["mse", "MSE"], "mse"),
        ("CrossEntropy", ["cross_entropy", "_cross_entropy"], "cross_entropy"),
        ("Linear", ["nn.Dense", "tanh"], "nn.Dense"),
        ("Tanh", ["tanh", "nn.Tanh"], "nn.Tanh"),
    ],
)
def test_a_hint_names_what_is_similar_or_what_another_library_calls_so(name, known, meant):
    assert _checks.nearest(name, known) == f" Did you mean {meant!r}?"


def test_a_name_that_another_module_has_is_a_better_hint_than_a_similar_one():
    for name in ("mean_squared_error", "mse", "MSELoss"):
        other = "MSE" if name == "MSELoss" else "mse"
        with pytest.raises(AttributeError, match=rf"Did you mean 'minidl\.losses\.{other}'\?$"):
            getattr(dl.metrics, name)
    with pytest.raises(AttributeError, match=r"Did you mean 'rmse'\?$"):
        dl.metrics.rmsee  # noqa: B018


@pytest.mark.parametrize("name", ["", "foo", "Linear", "learning_rate"])
def test_there_is_no_hint_where_nothing_is_similar(name):
    assert _checks.nearest(name, ["zeros", "ones"]) == ""


def test_every_name_of_another_library_stands_for_a_name_of_minidl():
    options = {name for rule in dl.optim.RULES.values() for name in rule.options}
    names = {*options, *dl.nn.ACTIVATIONS, *dl.nn.INITIALIZERS}
    names |= {*vars(dl.nn), *vars(dl.losses), *vars(dl.schedulers), *dl.optim.RULES, *dl.__all__}
    names |= {*vars(dl.data), *vars(dl.callbacks), *vars(dl.metrics)}
    names |= {"axis", "keepdims", "low", "high"}  # options of reductions and clip
    assert set(_checks._FOREIGN) <= names
    assert all(name == _checks._key(name) for name in _checks._OWN)
