"""The reader of untrusted pickles: what it builds, and that it builds nothing else."""

import os
import pickle
import struct

import numpy as np
import pytest
from cifar_files import pickle_batch
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import memory_of

from xpnet.datasets import safe_pickle
from xpnet.errors import InputError

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 12) + 120  # below and above ASCII


def batch(images=IMAGES):
    return {b"batch_label": b"one of 5", b"labels": [3, 9], b"data": images, "note": [b"\xff", "b"]}


def refusal(raw):
    """Return the one line with which a pickle is refused."""
    with pytest.raises(InputError) as caught:
        safe_pickle.load(raw, "some/file")
    message = str(caught.value)
    assert message.startswith("some/file ")
    assert "\n" not in message
    assert message.isprintable()
    return message


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_what_python_3_writes(protocol, order):
    loaded = safe_pickle.load(pickle.dumps(batch(np.array(IMAGES, order=order)), protocol), "file")
    np.testing.assert_array_equal(loaded.pop("data"), IMAGES)
    assert loaded == {"batch_label": b"one of 5", "labels": [3, 9], "note": [b"\xff", "b"]}


@pytest.mark.parametrize("protocol", [2, 5])
def test_reads_what_numpy_1_wrote(protocol):
    raw = pickle.dumps(batch(), protocol)
    # The older name is a letter shorter, as a length byte before it and that of the frame say.
    for name in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        old = name.replace(b"_core", b"core")
        raw = raw.replace(bytes([len(name)]) + name, bytes([len(old)]) + old)
        raw = raw.replace(b"c" + name, b"c" + old)
    if protocol == 5:
        frame = int.from_bytes(raw[3:11], "little") - 1
        raw = raw[:3] + frame.to_bytes(8, "little") + raw[11:]
    assert b"_core" not in raw
    np.testing.assert_array_equal(safe_pickle.load(raw, "file")["data"], IMAGES)


def test_reads_what_python_2_wrote():
    written = {b"labels": [0, 255, 65535, -1, 1 << 31, 1 << 3000], b"data": IMAGES, b"t": ()}
    raw = pickle_batch(written)
    assert raw.startswith(b"\x80\x02}q\x00(U\x06labels")
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in raw
    loaded = safe_pickle.load(raw, "file")
    np.testing.assert_array_equal(loaded["data"], IMAGES)
    assert loaded["labels"] == written[b"labels"]


def test_an_array_is_a_view_of_the_file_s_bytes():
    images = np.zeros((1000, 3072), np.uint8)
    raw = pickle_batch(batch(images))
    assert memory_of(lambda: safe_pickle.load(raw, "file")).peak < 1.5 * images.nbytes


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_that_calls_the_system_is_named_and_does_nothing(tmp_path, protocol):
    proof = tmp_path / "proof"
    raw = pickle.dumps({"labels": Calls(os.system, f"touch {proof}")}, protocol)
    name = f"{os.system.__module__}.system"  # posix or nt
    assert f"names '{name}', which no CIFAR-10 file does: do not trust it" in refusal(raw)
    assert not proof.exists()


@pytest.mark.parametrize(
    "name",
    [
        "os\nsystem",
        "builtins\neval",
        "__builtin__\ngetattr",
        "numpy\nload",
        "numpy.core.multiarray\nfromfile",
        "numpy.core.multiarray\nscalar",
        "numpy\n_core.multiarray._reconstruct",
        "_codecs\ndecode",
        "collections\nOrderedDict",
        "xpnet.datasets.safe_pickle\npickle.loads",
    ],
)
def test_other_names_are_refused(name):
    assert f"names {'.'.join(name.split())!r}" in refusal(b"\x80\x02c" + name.encode() + b"\n.")


def test_a_name_cannot_disturb_the_terminal():
    evil = "os\x1b[2J\n" + "long" * 100
    raw = b"\x80\x04X" + struct.pack("<I", len(evil)) + evil.encode() + b"\x8c\x01x\x93."
    message = refusal(raw)
    assert r"\x1b[2J\nlong" in message
    assert len(message) < 250


def array(dtype=b"U\x02u1", shape=b"K\x02K\x0c\x86", raw=None):
    """Write the opcodes of a Python 2 array by hand, with parts that NumPy would not write."""
    raw = IMAGES.tobytes() if raw is None else raw
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\n"
        + dtype
        + b"K\x00K\x01\x87R\x89U"
        + bytes([len(raw)])
        + raw
        + b"tb"
    )


def field(opcodes):
    """Write a dict with one field."""
    return b"\x80\x02}U\x04data" + opcodes + b"s."


def test_an_array_by_hand_is_read():
    np.testing.assert_array_equal(safe_pickle.load(field(array()), "file")["data"], IMAGES)


@pytest.mark.parametrize(
    "opcodes",
    [
        array(dtype=b"U\x01O"),
        array(dtype=b"U\x02f8"),
        array(dtype=b"U\x02u2"),
        array(dtype=b"K\x01"),
        array(shape=b"K\x02K\x0d\x86"),
        array(shape=b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"),
        array(shape=b"J\xfe\xff\xff\xffJ\xf4\xff\xff\xff\x86"),
        array(shape=b"K\x00K\x00\x86", raw=b""),
        array(shape=b"K\x18\x85"),
        array(shape=b"K\x02K\x03K\x04\x87"),
        array(shape=b"U\x02ab"),
        # an array whose dtype is None, and one whose bytes are a list
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x01K\x01\x86N\x89U\x01atb",
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01K\x00K\x01\x86cnumpy\ndtype\nU\x02u1\x85R\x89]tb",
        # numpy.ndarray called with a shape of a terabyte; its constructor; a state for it
        b"cnumpy\nndarray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R",
        b"cnumpy\nndarray\n)\x81",
        b"cnumpy\nndarray\n}b",
        # attributes for a function or a dict: BUILD fills in arrays, nothing else
        b"cnumpy.core.multiarray\n_reconstruct\nN}U\x0c__defaults__K\x01s\x86b",
        b"}}b",
        # an array without, and one with a second, state
        array() + b"(K\x01K\x02K\x0c\x86cnumpy\ndtype\nU\x02u1\x85R\x89U\x00tb",
        # text encoded otherwise
        b"c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R",
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13X\x06\x00\x00\x00ignoretR",
        # a method of a list by calling text; a float; a set; a persistent object; an extension
        b"U\x06append)R",
        b"G\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x8f",
        b"Pname\n",
        b"\x82\x01",
        # instances, by the opcodes that make them
        b"(ios\nsystem\n",
        b"(cnumpy\nndarray\no",
        # keys that are no text
        b"}K\x01K\x01s",
        b"})K\x01s",
        b"}U\x02\xff\xfeK\x01s",
        b"](U\x01aK\x01u",
    ],
)  # fmt: skip
def test_what_no_batch_file_does_is_refused(opcodes):
    refusal(field(opcodes))


@pytest.mark.parametrize(
    "opcodes",
    [
        b"r" + struct.pack("<I", 1 << 24),  # a memo index, for which the C unpickler makes a table
        b"\x96" + struct.pack("<Q", 1 << 28) + b"ab",  # a bytearray
        b"\x8e" + struct.pack("<Q", 1 << 28) + b"ab",  # bytes
        b"\x8d" + struct.pack("<Q", 1 << 28) + b"ab",  # text
        b"\x95" + struct.pack("<Q", 1 << 28) + b"ab",  # a frame
        b"T" + struct.pack("<i", 1 << 28) + b"ab",  # a Python 2 string
        b"\x8b" + struct.pack("<i", 1 << 28) + b"ab",  # an integer
        # text of 9,000 letters encoded 2,000 times, for 18 MB
        b"]X" + struct.pack("<I", 9000) + b"a" * 9000 + b"q\x00X\x06\x00\x00\x00latin1q\x01"
        + b"c_codecs\nencode\nq\x02" + b"h\x02h\x00h\x01\x86R" * 2000,
    ],
)  # fmt: skip
def test_a_small_file_cannot_ask_for_much_memory(opcodes):
    def refused():
        with pytest.raises(InputError):
            safe_pickle.load(b"\x80\x04)" + opcodes, "file")

    assert memory_of(refused).peak < 1e6


def test_nothing_unknown_is_printed():
    # Each of 60 lists holds the one before twice: to print the last takes 2 ** 60 steps.
    lists = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60))
    encoded = b"c_codecs\nencode\nX\x01\x00\x00\x00a" + lists + b"\x86R"
    refusal(field(encoded))
    refusal(field(array(shape=lists)))
    refusal(field(array(dtype=lists)))
    refusal(b"\x80\x02}" + lists + lists + b"s.")


def test_a_key_that_takes_a_deep_stack_to_hash_is_refused():
    refusal(b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.")


@pytest.mark.parametrize("raw", [b"", b"\x80\x02", b"\x80\x63.", b"no pickle", b"\x80\x02."])
def test_damage_is_one_line(raw):
    assert "replace it with a fresh copy" in refusal(raw)


@pytest.mark.parametrize("value", [b"]", b"K\x01", b"N", array()])
def test_the_top_must_be_a_dict(value):
    assert "holds no dict" in refusal(b"\x80\x02" + value + b".")


def load_or_refuse(raw):
    try:
        loaded = safe_pickle.load(raw, "file")
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017  # any other exception fails the test
    else:
        assert isinstance(loaded, dict)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), protocol=st.sampled_from([None, 2, 3, 4, 5]))
def test_a_damaged_pickle_loads_or_is_refused(data, protocol):
    raw = bytearray(pickle_batch(batch(), protocol))
    edits = st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(edits, max_size=4)):
        raw[place] = value
    load_or_refuse(bytes(raw[: data.draw(st.integers(0, len(raw)) | st.just(len(raw)))]))


FRAGMENTS = [bytes([code]) for code in pickle._Unpickler.dispatch] + [
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy._core.numeric\n_frombuffer\n",
    b"cnumpy\nndarray\n",
    b"cnumpy\ndtype\nU\x02u1\x85R",
    b"c_codecs\nencode\n",
    b"X\x06\x00\x00\x00latin1",
    b"U\x01a",
    b"K\x01",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=30))
def test_any_program_loads_or_is_refused(fragments):
    load_or_refuse(b"\x80\x02" + b"".join(fragments) + b".")
