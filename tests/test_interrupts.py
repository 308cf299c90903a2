"""Ctrl-C in a loop of training steps: the handler, and the contexts in which it is in force."""

import signal
import threading

import pytest

from minidl._interrupts import SIGINT, CtrlC, assigned


def press():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_presses_are_counted_and_raise_nothing():
    ctrl_c = CtrlC()
    keep, handle = ctrl_c.handling()
    with keep, handle:
        assert signal.getsignal(signal.SIGINT) is ctrl_c
        press()
        press()
    assert ctrl_c.presses == 2


def test_with_raises_the_second_press_raises():
    ctrl_c = CtrlC()
    ctrl_c.raises = True
    keep, handle = ctrl_c.handling()
    with keep, handle:
        press()
        with pytest.raises(KeyboardInterrupt):
            press()
    assert ctrl_c.presses == 2


def test_the_handler_from_before_is_restored_after_an_error_too():
    before = signal.getsignal(signal.SIGINT)
    for error in (None, ValueError):
        keep, handle = CtrlC().handling()
        try:
            with keep, handle:
                if error:
                    raise error
        except ValueError:
            pass
        assert signal.getsignal(signal.SIGINT) is before


def test_a_press_in_an_inner_loop_counts_for_the_outer_one():
    outer = CtrlC()
    keep, handle = outer.handling()
    with keep, handle:
        inner = CtrlC()
        keep, handle = inner.handling()
        with keep, handle:
            press()
    assert (outer.presses, inner.presses) == (1, 1)


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctrl_c = CtrlC()
    keep, handle = ctrl_c.handling()
    with keep, handle:
        press()
    assert ctrl_c.presses == 0


def test_another_thread_than_the_main_one_sets_no_handler():
    before, handlers = signal.getsignal(signal.SIGINT), []

    def run():
        keep, handle = CtrlC().handling()
        with keep, handle:
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_either_of_the_two_contexts_restores_what_was_before():
    values = {"a": 1}
    for entered in (0, 1):
        contexts = assigned([(values, "a", 2), (values, "b", 3)])
        contexts[0].__enter__()
        contexts[1].__enter__()
        assert values == {"a": 2, "b": 3}
        contexts[entered].__exit__(None, None, None)
        assert values == {"a": 1}


def test_the_signal_has_its_handler_as_an_attribute():
    assert SIGINT == signal.SIGINT
    assert SIGINT.handler is signal.getsignal(signal.SIGINT)
    SIGINT.handler = print
    assert signal.getsignal(signal.SIGINT) is print
