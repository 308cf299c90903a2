"""Declared options: signatures, defaults, ranges, and the errors for values that are refused."""

import inspect
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from cases import RULES
from optimizing import BELOW_1, RANGES, SIGNATURES, each_rule, make, options_of, range_of, weights

import minidl as dl
from minidl.optim.declarations import LearningRate, Option, Slot, learning_rate, option, within
from minidl.schedulers import CosineDecay


@each_rule
def test_signature_has_these_names_and_defaults(rule):
    parameters = inspect.signature(getattr(dl.optim, rule)).parameters
    assert list(parameters)[:2] == ["params", "lr"]
    by_position = {n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD}
    by_keyword = {n for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert by_position == {"params", "lr"}
    assert by_position | by_keyword == set(parameters)
    defaults = {n: p.default for n, p in parameters.items() if n != "params"}
    assert defaults == {"weight_decay": 0.0, "maximize": False, **SIGNATURES[rule]}


@each_rule
def test_signature_has_the_types_of_all_options(rule):
    parameters = dict(inspect.signature(getattr(dl.optim, rule)).parameters)
    assert parameters.pop("params").annotation == "Params"
    assert parameters.pop("lr").annotation == "float | Schedule"
    for name, parameter in parameters.items():
        kind = {tuple: "tuple[float, float]"}.get(type(parameter.default))
        assert parameter.annotation == (kind or type(parameter.default).__name__), name


@each_rule
def test_options_are_keyword_only_and_lr_is_not(rule):
    assert make(rule, [weights([1.0])]).lr == SIGNATURES[rule]["lr"]
    assert getattr(dl.optim, rule)([weights([1.0])], 0.25).lr == 0.25
    with pytest.raises(TypeError, match="positional"):
        getattr(dl.optim, rule)([weights([1.0])], 0.25, 0.5)


def test_options_are_positional_no_further_than_the_rate():
    message = (
        r"^Adam: only params and lr are positional; give options by name, such as betas=…, got"
    )
    with pytest.raises(TypeError, match=message):
        dl.optim.Adam([weights([1.0])], 0.1, (0.9, 0.99))


@each_rule
def test_an_unknown_option_is_named_beside_all_options_and_the_nearest(rule):
    _, *options = inspect.signature(getattr(dl.optim, rule)).parameters
    message = (
        f"{rule}: unknown option maximise; the options are {', '.join(options)}. Did you mean "
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}'maximize'"):
        make(rule, [weights([1.0])], maximise=True)


def test_several_unknown_options_are_all_named():
    message = (
        r"^SGD: unknown option momentm, nestrov; the options are .* Did you mean 'momentum'\?$"
    )
    with pytest.raises(TypeError, match=message):
        dl.optim.SGD([weights([1.0])], nestrov=True, momentm=0.9)


@each_rule
def test_an_option_is_read_from_the_first_group_and_set_in_every_group(rule):
    optimizer = make(rule, [{"params": [weights([1.0])], "lr": 0.5}, {"params": [weights([1.0])]}])
    for name in optimizer.options:
        assert getattr(optimizer, name) == optimizer.groups[0][name]
    optimizer.weight_decay = 0.25
    assert [group.weight_decay for group in optimizer.groups] == [0.25, 0.25]
    assert [group.lr for group in optimizer.groups] == [0.5, SIGNATURES[rule]["lr"]]


def test_an_option_that_one_group_refuses_is_set_in_none():
    double, single = weights([1.0]), weights([1.0], "float32")
    optimizer = dl.optim.Adam([{"params": [double]}, {"params": [single]}])
    with pytest.raises(ValueError, match=r"eps=1e-50 would be 0 in float32"):
        optimizer.eps = 1e-50
    with pytest.raises(ValueError, match="amsgrad decides which state a group has"):
        optimizer.amsgrad = True
    assert [(g.eps, g.amsgrad) for g in optimizer.groups] == [(1e-8, False)] * 2


@pytest.mark.parametrize("attributes", [{"lr": 0.1}, {"weight_decay": 0.1}, {"options": {}}])
def test_an_option_that_is_assigned_instead_of_declared_is_refused(attributes):
    (name,) = attributes
    message = rf"^Mine: {name} is not declared as an option\. Declare each option as a class attr"
    with pytest.raises(TypeError, match=message):
        type("Mine", (dl.optim.SGD,), attributes)


@pytest.mark.parametrize("slot", [Slot(when="momentun"), Slot(start="momentun")])
def test_a_slot_that_names_an_unknown_option_is_refused_with_the_known_ones(slot):
    message = r"^Mine: the slot 'a' names 'momentun', which is not an option; the options are lr"
    with pytest.raises(TypeError, match=message):
        type("Mine", (dl.optim.SGD,), {"slots": {"a": slot}})


def test_a_declared_option_replaces_the_inherited_one():
    class Slow(dl.optim.Momentum):
        lr: LearningRate = learning_rate(default=1e-5, kw_only=False)
        power: float = option(within(high=2), default=0.5)

    parameters = inspect.signature(Slow).parameters
    assert list(parameters) == ["params", "lr", "power", "beta", "weight_decay", "maximize"]
    optimizer = Slow([weights([1.0])], power=2)
    assert (optimizer.lr, optimizer.power, optimizer.beta) == (1e-5, 2.0, 0.9)
    assert dl.optim.Momentum.options["lr"].default == 1e-2
    assert isinstance(Slow.power, Option)
    assert not hasattr(optimizer, "params")


def test_a_rule_has_the_options_of_all_its_bases():
    class Powered:
        power: float = option(within(high=2), default=0.5)

    class Both(Powered, dl.optim.Momentum, dl.optim.RMSprop):
        pass

    _, *names = inspect.signature(Both).parameters
    assert names[:3] == ["lr", "power", "beta"]
    assert {"alpha", "eps", "momentum", "centered"} < set(names)
    optimizer = Both([weights([1.0])], power=2)
    assert (optimizer.power, optimizer.beta, optimizer.alpha) == (2.0, 0.9, 0.99)


@pytest.mark.parametrize("name", ["rate", "step", "t", "groups", "params", "items", "update"])
def test_an_option_cannot_have_the_name_of_another_attribute(name):
    with pytest.raises(TypeError, match=rf"^Mine: {name} can't be an option, .* another name$"):
        type("Mine", (dl.optim.SGD,), {name: option(within(), default=1.0)})


# --- ranges -------------------------------------------------------------------------------------

NUMBERS = [
    (rule, option, range_of(rule, option))
    for rule in RULES
    for option in options_of(rule)
    if option != "betas" and range_of(rule, option)
]
PAIRS = [(rule, place) for rule in RULES if "betas" in SIGNATURES[rule] for place in (0, 1)]
FLAGS = [(r, option) for r in RULES for option in options_of(r) if not range_of(r, option)]
NO_NUMBERS = ["0.1", True, np.True_, None, [0.1], 1j, np.ones(1)]
NEVER_INSIDE = [math.nan, math.inf, -math.inf, 10**400, -(10**400)]


def assert_refused(error, message, rule, option, value):
    """As an argument, in a group, and as a change of a group, which then stays as it is."""
    optimizer = make(rule, [weights([1.0])])
    before = repr(optimizer)
    with pytest.raises(error, match=message):
        make(rule, [weights([1.0])], **{option: value})
    with pytest.raises(error, match=message):
        make(rule, [{"params": [weights([1.0])], option: value}])
    with pytest.raises(error, match=message):
        optimizer.groups[0][option] = value
    assert repr(optimizer) == before


@pytest.mark.parametrize(("rule", "option", "interval"), NUMBERS)
def test_a_number_outside_its_range_is_named_beside_it(rule, option, interval):
    for value in RANGES[interval][1] + NEVER_INSIDE:
        message = f"{rule}: {option} must be a finite number {interval}, got {value!r}"
        assert_refused(ValueError, f"^{re.escape(message)}$", rule, option, value)


@pytest.mark.parametrize(("rule", "option", "interval"), NUMBERS)
def test_a_value_that_is_not_a_number_is_named_beside_the_range(rule, option, interval):
    for value in NO_NUMBERS:
        allowed = f"a finite number {interval}"
        if option == "lr" and not isinstance(value, bool):
            allowed += " or a schedule, such as schedulers.CosineDecay(0.1, 1000)"
        message = f"{rule}: {option} must be {allowed}, got {value!r}"
        assert_refused(TypeError, f"^{re.escape(message)}", rule, option, value)


@pytest.mark.parametrize(("rule", "place"), PAIRS)
def test_an_invalid_beta_is_named_with_its_place(rule, place):
    errors = [(value, ValueError) for value in RANGES[BELOW_1][1] + NEVER_INSIDE]
    for value, error in errors + [(value, TypeError) for value in NO_NUMBERS]:
        message = f"{rule}: betas[{place}] must be a finite number {BELOW_1}, got {value!r}"
        betas = [(value, 0.9), (0.9, value)][place]
        assert_refused(error, f"^{re.escape(message)}", rule, "betas", betas)


@pytest.mark.parametrize("rule", [rule for rule, place in PAIRS if place])
@pytest.mark.parametrize(
    "betas", [0.9, None, "ab", (0.9,), (0.9,) * 3, (), np.full(2, 0.9), {1, 0}]
)
def test_betas_must_be_a_pair(rule, betas):
    message = f"{rule}: betas must be two numbers (β₁, β₂), each ≥ 0 and < 1, got {betas!r}"
    error = ValueError if isinstance(betas, tuple) else TypeError
    assert_refused(error, f"^{re.escape(message)}$", rule, "betas", betas)


@pytest.mark.parametrize(("rule", "option"), FLAGS)
def test_a_flag_is_true_or_false_and_nothing_that_counts_as_it(rule, option):
    for value in (0, 1, None, "True", 0.0, math.nan, [], np.True_):
        message = f"{rule}: {option} must be True or False, got {value!r}"
        assert_refused(TypeError, f"^{re.escape(message)}$", rule, option, value)


@pytest.mark.parametrize(("rule", "option", "interval"), NUMBERS)
@pytest.mark.parametrize("kind", [float, np.float64, Fraction])
def test_the_ends_of_a_range_are_taken_and_minus_zero_as_zero(rule, option, interval, kind):
    for value in RANGES[interval][0]:
        (group,) = make(rule, [weights([1.0])], **{option: kind(value)}).groups
        assert (type(group[option]), group[option]) == (float, value)
        assert value != 0 or math.copysign(1, group[option]) == 1


@pytest.mark.parametrize(("rule", "place"), PAIRS)
def test_the_ends_of_the_betas_are_taken_and_minus_zero_as_zero(rule, place):
    for value in RANGES[BELOW_1][0]:
        (group,) = make(rule, [weights([1.0])], betas=[[value, 0.5], [0.5, value]][place]).groups
        assert group.betas == [(value, 0.5), (0.5, value)][place]
        assert math.copysign(1, group.betas[place]) == 1


@pytest.mark.parametrize("rule", [rule for rule in RULES if "eps" in SIGNATURES[rule]])
@pytest.mark.parametrize("eps", [1e-50, 1e-45, np.nextafter(2.0**-126, 0)])
def test_an_eps_that_is_zero_or_subnormal_in_float32_is_refused_where_float64_takes_it(rule, eps):
    message = rf"^{rule}: eps={eps} would be 0 in float32, the dtype of a of shape \(1,\)"
    single, double = weights([1.0], "float32", name="a"), weights([1.0])
    with pytest.raises(ValueError, match=message):
        make(rule, [double, single], eps=eps)
    with pytest.raises(ValueError, match=message):
        make(rule, [{"params": [double], "eps": eps}, {"params": [single], "eps": eps}])
    optimizer = make(rule, [{"params": [double]}, {"params": [single]}])
    with pytest.raises(ValueError, match=message):
        optimizer.groups[1]["eps"] = eps
    optimizer.groups[0]["eps"] = 1e-50
    assert optimizer.groups[0].eps == make(rule, [double], eps=1e-50).groups[0].eps == 1e-50
    assert optimizer.groups[1].eps == SIGNATURES[rule]["eps"]
    smallest = float(np.finfo(np.float32).tiny)
    assert make(rule, [single], eps=smallest).groups[0].eps == smallest


@pytest.mark.parametrize("lr", [lambda t: 0.1, CosineDecay, None, [0.1]])
def test_the_error_for_a_rate_of_the_wrong_type_mentions_schedules(lr):
    with pytest.raises(TypeError, match=r"≥ 0 and ≤ 1e\+10 or a schedule, such as schedulers"):
        dl.optim.SGD([weights([1.0])], lr=lr)
