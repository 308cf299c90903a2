"""Schedules written as text: which texts are parsed, and which are refused without being run."""

import pytest
from cases import SCHEDULES as CLASSES
from hypothesis import given
from hypothesis import strategies as st

from minidl import schedulers
from minidl._expressions import EXAMPLE, NAMES, schedule
from minidl.schedulers import (
    Constant,
    CoolDown,
    CosineDecay,
    CosineRestarts,
    ExponentialDecay,
    Hold,
    InverseSqrtDecay,
    InverseTimeDecay,
    LinearDecay,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    ReduceOnPlateau,
    Sequence,
    StepDecay,
    Triangular,
    WarmUp,
    warmup_stable_decay,
)

RATES = st.floats(0, 10)
STEPS = st.integers(1, 10**6)
SHAPES = st.sampled_from(["linear", "cosine", "one_minus_sqrt"])
LEAVES = st.one_of(
    st.builds(Constant, RATES),
    st.builds(StepDecay, RATES, STEPS, RATES),
    st.builds(ExponentialDecay, RATES, st.floats(0, 1), STEPS, st.booleans()),
    st.builds(InverseTimeDecay, RATES, RATES, STEPS, st.booleans()),
    st.builds(PolynomialDecay, RATES, STEPS, RATES, st.floats(0.1, 5)),
    st.builds(LinearDecay, RATES, STEPS, RATES),
    st.builds(CosineDecay, RATES, STEPS, RATES),
    st.builds(CosineRestarts, RATES, STEPS, st.integers(1, 3), st.floats(0, 1), RATES),
    st.builds(InverseSqrtDecay, RATES, STEPS),
    st.builds(PiecewiseConstant, st.just([3, 5]), st.lists(RATES, min_size=3, max_size=3)),
    st.builds(Triangular, st.floats(0, 1), st.floats(1, 2), STEPS),
    st.builds(OneCycle, st.floats(0.1, 10), STEPS, st.floats(0, 1)),
    st.builds(warmup_stable_decay, RATES, STEPS, STEPS, STEPS, RATES, SHAPES),
)


def over(part):
    """A step at which the phases of a schedule are over."""
    return part.phases()[-1][0] + 1


def wrapped(parts):
    """Schedules of schedules."""
    return st.one_of(
        st.builds(WarmUp, parts, STEPS, RATES, SHAPES),
        st.builds(lambda p, *more: CoolDown(p, over(p), *more), parts, STEPS, RATES, SHAPES),
        st.builds(lambda p: Hold(p, over(p)), parts),
        st.builds(
            lambda timed, last: Sequence([*((p, over(p)) for p in timed), last]),
            st.lists(parts, max_size=2),
            parts,
        ),
    )


@given(st.recursive(LEAVES, wrapped, max_leaves=4))
def test_the_repr_of_a_schedule_is_parsed_to_an_equal_schedule(given):
    read = schedule(repr(given))
    assert type(read) is type(given)
    assert read == given
    assert repr(read) == repr(given)
    assert [read(t) for t in (0, 1, 7, 10**4)] == [given(t) for t in (0, 1, 7, 10**4)]


EACH = [
    Constant(1e-5),
    StepDecay(0.8, 10, 0.5),
    ExponentialDecay(0.1, 0.9, 10, staircase=True),
    InverseTimeDecay(0.1, 0.9, 10, staircase=False),
    PolynomialDecay(0.1, 900, 1e-300, 2),
    LinearDecay(0.1, 900),
    CosineDecay(1 / 3, 900),
    CosineRestarts(0.1, 10, 2, 0.5, 0.01),
    InverseSqrtDecay(0.1, 10**15),
    PiecewiseConstant([], [0.1]),
    Triangular(0.01, 0.1, 50),
    OneCycle(0.1, 100),
    WarmUp(CosineDecay(0.1, 900), 100, shape="cosine"),
    CoolDown(WarmUp(CoolDown(0.1, 5, 5), 3), 20, 5, shape="one_minus_sqrt"),
    Hold(Sequence([(0.1, 5), (WarmUp(0.2, 3), 4), LinearDecay(0.2, 9)]), 12),
    Sequence([0.1]),
    ReduceOnPlateau(0.1, mode="max", cooldown=3),
]


@pytest.mark.parametrize("given", EACH, ids=lambda s: type(s).__name__)
def test_each_kind_of_schedule_is_parsed_from_its_repr(given):
    assert schedule(repr(given)) == given


def test_every_schedule_is_here():
    assert {type(given) for given in EACH} == set(CLASSES)
    assert set(NAMES.values()) == {*CLASSES, warmup_stable_decay}
    assert all(getattr(schedulers, name) is made for name, made in NAMES.items())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0.1", Constant(0.1)),
        ("1e-3", Constant(0.001)),
        (" 2 ", Constant(2)),
        ("-0.0", Constant(0)),
        ("(0.5)", Constant(0.5)),
        (EXAMPLE, WarmUp(CosineDecay(0.1, 900), 100)),
        ("  WarmUp(0.4,\n  steps=4)\n", WarmUp(0.4, 4)),
        ('WarmUp(0.4, 4, shape="cosine")', WarmUp(0.4, 4, shape="cosine")),
        ("WarmUp(steps=4, schedule=LinearDecay(0.4, 9))", WarmUp(LinearDecay(0.4, 9), 4)),
        ("PiecewiseConstant([1, 2], (0.3, 0.2, 0.1))", PiecewiseConstant([1, 2], [0.3, 0.2, 0.1])),
        ("Sequence([[0.1, 2], (0.2, 3), 0.3])", Sequence([(0.1, 2), (0.2, 3), 0.3])),
        ("ExponentialDecay(0.1, 0.5, 2, True)", ExponentialDecay(0.1, 0.5, 2, staircase=True)),
        ("warmup_stable_decay(0.4, 2, stable=2, cooldown=2)", warmup_stable_decay(0.4, 2, 2, 2)),
    ],
)
def test_numbers_strings_lists_and_calls_are_parsed(text, meant):
    assert schedule(text) == meant


NO_PART = "can't be part of a schedule"
UNREAD = "can't be read as a schedule"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        *(
            (text, NO_PART)
            for text in (
                "__import__('os').mkdir('made')",
                "Constant(__import__('os').mkdir('made'))",
                "Constant(0.1).lr",
                "Constant(0.1)(3)",
                "[Constant][0](0.1)",
                "schedulers.Constant(0.1)",
                "Constant",
                "x",
                "lambda: 0.1",
                "(lambda: Constant(0.1))()",
                "Constant([x for x in (0.1,)][0])",
                "Constant(f'{0.1}')",
                "Constant(f'{open(chr(109), chr(119))}')",
                "Constant((x := 0.1))",
                "Constant(*[0.1])",
                "Constant(**{'lr': 0.1})",
                "Constant(lr=0.1, **{})",
                "Constant(**0.1)",
                "0.1 + 0.2",
                "Constant(0.1 * 2)",
                "Constant(2 ** 2 ** 100)",
                "0.1 if 1 else 0.2",
                "1 < 2",
                "not 0.1",
                "+0.1",
                "Constant(-'a')",
                "Constant({0.1})",
                "Constant({'lr': 0.1})",
                "Constant(b'0.1')",
                "Constant(1j)",
            )
        ),
        *(
            (text, UNREAD)
            for text in (
                "",
                "  \n",
                "(",
                "Constant(0.1))",
                "Constant(0.1); Constant(0.2)",
                "Constant(0.1)\nConstant(0.2)",
                "import os",
                "x = 0.1",
                "0.1\0",
                "Constant(\ud800)",
                "9" * 5000,
                "(" * 1000 + "1" + ")" * 1000,
                "-" * 50_000 + "1",
                "1" + ".real" * 50_000,
                "1" + "+1" * 50_000,
            )
        ),
        ("open('made', 'w')", "there is no schedule 'open'"),
        ("exec('import os')", "there is no schedule 'exec'"),
        ("Schedule()", "there is no schedule 'Schedule'"),
        ("_DecayTo(0.1, 3)", "there is no schedule '_DecayTo'"),
        ("Constant(print('made'))", "there is no schedule 'print'"),
        ("WarmUp(Cosindecay(0.1, 9), 3)", "schedule 'Cosindecay'. Did you mean 'CosineDecay'?"),
        ("warmup(0.1, 9)", "There are Constant, StepDecay"),
        ("1e999", "the expression must be a finite number ≥ 0, got inf"),
        ("-0.1", "the expression must be a finite number ≥ 0, got -0.1"),
        *((text, "must be a schedule or a number") for text in ("True", "None", "'0.1'", "...")),
        *((text, "must be a schedule or a number") for text in ("[0.1]", "(0.1, 3)", "()")),
        ("Constant(-1)", "Constant: lr must be a finite number ≥ 0, got -1"),
        ("Constant('0.1')", "Constant: lr must be a finite number ≥ 0, got '0.1' (str)"),
        ("Constant(True)", "got True (bool)"),
        ("Constant(None)", "got None (NoneType)"),
        ("Constant(1e999)", "Constant: lr must be a finite number ≥ 0, got inf"),
        ("ExponentialDecay(0.1, 0.5, 2, 1)", "staircase must be True or False, got 1"),
        ("WarmUp(0.1, 9, shape='round')", "shape must be one of 'linear', "),
        ("WarmUp(CosineDecay(0.1), 3)", "CosineDecay(0.1): missing 1 required"),
        ("CosineDecay(0.1, 9, length=3)", "unexpected keyword argument 'length'"),
        ("Constant(0.1, 2)", "Constant(0.1, 2): takes 2 positional arguments"),
        ("Constant(0.1, lr=0.2)", "multiple values for argument 'lr'"),
        ("Constant(lr=0.1, lr=0.2)", "lr"),
        ("CoolDown(WarmUp(0.1, 9), 3, 4)", "at=3 is before the end of the warm-up"),
        ("Hold(ReduceOnPlateau(0.1), 3)", "follows a metric"),
    ],
    ids=lambda text: text if len(text) < 60 else f"{text[:9]}-{len(text)}",
)
def test_anything_else_is_refused_and_nothing_is_run(text, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        schedule(text)
    assert message in str(error.value)
    assert "__init__" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["x", "Constant(0.1", "1 + 1"])
def test_an_error_shows_what_to_write(text):
    with pytest.raises(ValueError, match="CosineDecay") as error:
        schedule(text)
    assert EXAMPLE in str(error.value)
    assert schedule(EXAMPLE)(50) == 0.05


def test_a_refusal_of_a_long_text_is_short():
    with pytest.raises(ValueError, match=UNREAD) as error:
        schedule("Constant(" + "9 " * 10_000)
    assert len(str(error.value)) < 500
