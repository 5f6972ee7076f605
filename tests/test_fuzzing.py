"""A thousand damaged files, and whether the one that looks after them would see a thing go wrong."""

import gzip
import io
import json
import pickle
import random
import re
import signal
import struct
import sys
import tarfile
import time
import warnings
import zipfile

import pytest

pytest.importorskip("resource", reason="the system limits no process, as fuzzing does")

import fuzzing
import mutations
import resumes
from fits import HERE
from safetensors.numpy import save_file

from xpnet.datasets import cifar10
from xpnet.datasets.readers import open_rows
from xpnet.errors import InputError
from xpnet.runs import checkpoints as resume
from xpnet.runs.config import Config
from xpnet.runs.settings import read_file


def test_damaged_files_load_as_they_should_or_are_refused_in_a_line():
    outcomes, _peak = fuzzing.run(0, fuzzing.share_out(1000))
    _table, wrong = fuzzing.markdown_table(outcomes)
    assert wrong == []
    ends = [end for found in outcomes.values() for _number, end in found]
    assert len(ends) == 1000
    assert min(ends.count("loaded"), ends.count("refused")) > 200  # neither harmless nor hopeless


def test_the_same_seed_gives_the_same_files(monkeypatch):
    """Also tomorrow."""
    before = [fuzzing.mutant(name, 3, 4) for name in fuzzing.KINDS]
    tomorrow = time.time() + 86_400
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    assert [fuzzing.mutant(name, 3, 4) for name in fuzzing.KINDS] == before
    assert len({fuzzing.mutant("npz", 3, number) for number in range(20)}) > 15


# What such files have found, in small


def npy(header):
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(960)


def npz(member):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("X.npy", member)
    return file.getvalue()


OVERFLOWING = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 12)}")


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.npz", npz(npy("-" * 9000 + "1")), "does not fit into memory, or is damaged: save its rows"),
        ("x.npz", b"PK\3\4" + bytes(100), "cannot be read (File is not a zip file): save numbers"),
        ("x.npz", npz(b"").replace(b"X.npy", b"\xff" * 5, 1), "cannot be read (File name in directory"),
        ("x.npy", OVERFLOWING, "cannot be read (overflow encountered"),
    ],
)
def test_an_input_that_is_damaged(tmp_path, name, content, part):
    """Also that no file stays open: pytest makes an error of it."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(part)) as caught:
        open_rows(tmp_path / name, 12, None)
    assert len(str(caught.value).removeprefix(str(tmp_path))) < 500


def test_an_archive_with_a_header_that_would_fill_the_memory(tmp_path):
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 2**33
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(InputError, match="a header claims 8589934592 bytes"):
        cifar10(tmp_path)


@pytest.mark.parametrize("key", ["seed", "reg", "dataset", "hidden"])
def test_a_number_too_long_to_be_shown(tmp_path, key):
    """Python makes text of no more than 4,300 digits."""
    (tmp_path / "x.toml").write_text(f"{key} = 0x{'f' * 5000}")
    with pytest.raises(InputError, match=f"{key} must be "):
        read_file(tmp_path / "x.toml", Config)


def test_a_checkpoint_with_a_right_checksum_of_something_else(tmp_path):
    notes = []
    description = {"format": 1, "epoch": 1}
    description["crc32"] = resume._checksum(description, {})
    save_file({}, tmp_path / resumes.name_of(1), {"xpnet": json.dumps(description)})
    with pytest.raises(InputError, match="holds no checkpoint that can be read"):
        resume.Checkpoints(tmp_path, HERE, resumes.RUN, 1, notes.append).latest()
    assert len(notes) == 1


# What is seen


def refuse(message):
    def read(_path):
        raise InputError(message)

    return read


def out_of_memory(_path):
    raise MemoryError


def warn(_path):
    warnings.warn("something", stacklevel=1)


def make_the_canary(path):
    path.with_name(fuzzing.CANARY).touch()


@pytest.mark.parametrize(
    ("read", "end"),
    [
        (lambda _path: None, "loaded"),
        (refuse("it is torn: use another"), "refused"),
        (refuse("it is torn"), "message: no fix"),
        (refuse("it is torn:\nuse another"), "message: not one line"),
        (refuse("use " + "x" * 5000), "message: 5004 characters"),
        (lambda _path: 1 // 0, "ZeroDivisionError"),
        (lambda _path: fuzzing.expect(False, "other content"), "WrongError: other content"),
        (out_of_memory, "MemoryError"),
        (lambda _path: sys.exit(), "SystemExit"),
        (warn, "warning: something"),
        (make_the_canary, "code was run"),
    ],
)
def test_what_becomes_of_a_file(tmp_path, read, end):
    folder = tmp_path / "in"
    folder.mkdir()
    assert fuzzing.outcome(read, folder / "file", folder).startswith(end)


def test_the_programs_in_pickles_run_where_they_are_let(tmp_path, monkeypatch):
    """Or that none ran would prove nothing."""
    monkeypatch.chdir(tmp_path)
    canary = tmp_path / fuzzing.CANARY
    ran = 0
    for program in {mutations.hostile(random.Random(seed), fuzzing.CANARY) for seed in range(200)}:
        try:
            pickle.loads(program)
        except AttributeError:  # of a function that is not in that module
            continue
        assert canary.exists(), program
        canary.unlink()
        ran += 1
    assert ran >= 10


READER = """
import json, os, signal, sys
for name, start, stop in json.loads(sys.argv[1]):
    for number in range(start, stop):
        print(json.dumps([name, number]), flush=True)
        if (name, number) == ("b", 0):
            os.kill(os.getpid(), signal.SIGSEGV)
        if (name, number) == ("b", 2):
            os.kill(os.getpid(), signal.SIGALRM)
        print(json.dumps("loaded"), flush=True)
print(json.dumps({"peak MiB": 7.0}))
"""


def test_a_reader_that_crashes_or_hangs_is_seen_and_the_next_goes_on():
    outcomes, peak = fuzzing.run(0, {"a": 2, "b": 3, "c": 1}, [sys.executable, "-c", READER])
    assert outcomes == {
        "a": [(0, "loaded"), (1, "loaded")],
        "b": [(0, f"crash ({-signal.SIGSEGV})"), (1, "loaded"), (2, "hang")],
        "c": [(0, "loaded")],
    }
    assert peak == 7.0
    assert fuzzing.markdown_table(outcomes)[1] == [f"b 0: crash ({-signal.SIGSEGV})", "b 2: hang"]


def test_a_reader_that_does_not_begin_is_an_error():
    with pytest.raises(RuntimeError, match=r"ended before a file .*no luck"):
        fuzzing.run(0, {"a": 1}, [sys.executable, "-c", "raise SystemExit('no luck')"])
