"""Settings of the process: what was set before comes back, whenever Ctrl-C comes."""

import sys
import threading

import pytest

from xpnet.device import one_blas_thread, shared
from xpnet.device.shared import Shared


class Setting:
    """A setting that is wanted to be 1 and was something else."""

    def __init__(self, value):
        self.value, self.shared = value, Shared()

    def using(self):
        return self.shared.using(self.note, self.make)

    def note(self):
        before = self.value

        def restore():
            self.value = before

        return restore

    def make(self):
        self.value = 1


def interrupted_at(number, call):
    """Call, and raise KeyboardInterrupt before an operation of ours; return whether there were so many."""
    left = number

    def trace(frame, event, _given):
        nonlocal left
        if frame.f_code.co_filename not in (shared.__file__, __file__):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == -1:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_an_interrupt_at_any_moment_leaves_nothing_set():
    number = 0
    while True:
        setting = Setting(0)

        def use(setting=setting):
            with setting.using():
                assert setting.value == 1

        was = interrupted_at(number, use)
        assert setting.value == 0, number
        assert not setting.shared._users, number
        setting.value = 2  # by the user
        use()
        assert setting.value == 2, number
        if not was:
            break
        number += 1
    assert number > 50


def test_the_next_user_repairs_what_was_left(monkeypatch):
    setting = Setting(0)
    with monkeypatch.context() as patch:
        patch.setattr(setting.shared, "_leave", setting.shared._users.discard)  # as after two interrupts
        with setting.using():
            pass
    assert setting.value == 1
    with setting.using():
        pass
    assert setting.value == 0


def test_the_last_user_brings_it_back():
    setting = Setting(0)
    entered, left = threading.Event(), threading.Event()

    def other():
        with setting.using():
            entered.set()
            left.wait(10)

    thread = threading.Thread(target=other)
    with setting.using():
        thread.start()
        assert entered.wait(10)
    assert setting.value == 1
    left.set()
    thread.join()
    assert setting.value == 0


def test_threads_of_blas_come_back():
    threadpoolctl = pytest.importorskip("threadpoolctl")

    def threads():
        return [library["num_threads"] for library in threadpoolctl.threadpool_info()]

    with threadpoolctl.threadpool_limits(2):
        before = threads()
        with one_blas_thread(), one_blas_thread():
            assert set(threads()) <= {1}
        assert threads() == before
