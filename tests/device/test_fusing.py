"""Element-wise functions in C++: what is written and refused; what they compute is in test_kernels."""

import math

import numpy as np
import pytest

from xpnet.device.fusing import Of, written

REAL = Of(np.dtype("float32"))
WHOLE = Of(np.dtype("int32"))
BOTH = REAL, REAL


def body(function, *args, writes=True):
    return written(function, args, writes).body.splitlines()


def test_what_is_read_made_and_changed():
    def move(_xp, value, g, nothing, rate):
        assert nothing is None
        g *= rate
        value -= g
        return value, g > 0.0

    kernel = written(move, (REAL, REAL, None, Of(np.dtype("float32"), False)), True)
    assert kernel.inputs == "float32 a1, float32 a3"
    assert kernel.outputs == "float32 a0, bool r1"
    assert (kernel.read, kernel.write, kernel.returns) == ((1, 3), (0, np.dtype(bool)), (0, 1))
    assert not kernel.single
    assert "a1 =" not in kernel.body  # it is consumed, not returned


def test_nothing_is_changed_where_nothing_may_be():
    def grow(_xp, x):
        x += 1.0
        return x

    kernel = written(grow, (REAL,), False)
    assert (kernel.inputs, kernel.outputs) == ("float32 a0", "float32 r0")
    assert kernel.single


def test_what_is_returned_as_it_came_is_not_computed():
    kernel = written(lambda _xp, x, dy: (dy, x + 1.0), BOTH, True)
    assert kernel.returns == (~1, 0)
    assert len(kernel.write) == 1


def test_an_array_changed_under_two_names_is_one():
    def grow(_xp, x):
        y = x
        y += 1.0
        return x

    assert written(grow, (REAL,), True).write == (0,)


def test_numbers_take_the_dtype_of_arrays_and_whole_numbers_wrap():
    assert "float t0 = v0 * (float)(0.5);" in body(lambda _xp, x: x * 0.5, REAL)
    assert "float t0 = (float)(1.0) - v0;" in body(lambda _xp, x: 1 - x, REAL)
    assert "int t0 = (int)((unsigned int)(v0) * (unsigned int)((int)(7LL)));" in body(
        lambda _xp, x: x * 7, WHOLE
    )
    assert "double t0 = (double)v0 + (double)v1;" in body(lambda _xp, x, y: x + y, REAL, WHOLE)


def test_limits_that_are_none_are_left_out():
    assert len(body(lambda xp, x: xp.clip(x, 0.0, math.inf) * 1.0, REAL)) == 4


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda _xp, x: x if x > 0 else -x, "asks for a value: use `where`"),
        (lambda _xp, x: x[..., None], "takes a part of an array: hand it the part"),
        (lambda _xp, x: x + math.inf, "has the number inf, which C\\+\\+ cannot spell"),
    ],
)
def test_what_no_element_can_do_is_refused(function, reason):
    with pytest.raises(TypeError, match=reason):
        written(function, (REAL,), True)


def test_a_division_of_whole_numbers_is_refused():
    with pytest.raises(TypeError, match="divides whole numbers: convert them before"):
        written(lambda _xp, x: x / 2, (WHOLE,), True)


def test_a_function_beyond_the_few_is_an_error():
    with pytest.raises(AttributeError, match="sinh"):
        written(lambda xp, x: xp.sinh(x), (REAL,), True)
