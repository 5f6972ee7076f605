"""Checkpoints that are damaged, in the way, or of another run."""

import json
import shutil

import hypothesis
import pytest
from fits import HERE, assert_same
from hypothesis import given
from hypothesis import strategies as st
from resumes import RUN, all_of, name_of, names, run_with
from safetensors import safe_open
from safetensors.numpy import save_file

from xpnet.errors import InputError
from xpnet.runs.checkpoints import Checkpoints


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder with the checkpoints 5 and 6 of a run."""
    folder = tmp_path_factory.mktemp("two")
    run_with(Checkpoints(folder, HERE, RUN, 1, pytest.fail))
    return folder


def latest_of(two, folder, damage, *others):
    """Damage checkpoint 6, or others too; return what is gone on from and the notes."""
    shutil.copytree(two, folder)
    for name in (name_of(6), *others):
        damage(folder / name)
    notes = []
    return Checkpoints(folder, HERE, RUN, 1, notes.append).latest().fit, notes


def make_a_folder(path):
    path.unlink()
    path.mkdir()


def change(find, by):
    def damage(path):
        content = path.read_bytes()
        assert content.count(find) >= 1
        path.write_bytes(content.replace(find, by, 1))

    return damage


def with_another_array(path):
    with safe_open(path, "np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    arrays["state/params/W1"][0, 0] += 1e-12
    save_file(arrays, path, metadata)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a folder": make_a_folder,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "without its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "another number": with_another_array,
    "another epoch": change(b'epoch\\": ', b'epoch\\": 1'),
    "another seed": change(b'seed\\": 1', b'seed\\": 2'),
    "another type": change(b"I64", b"U64"),
    "another name": change(b"state/params/b1", b"state/params/b9"),
    "another format": change(b'format\\": 3', b'format\\": 1'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(two, tmp_path, damage):
    fit, notes = latest_of(two, tmp_path / "copy", DAMAGES[damage])
    assert fit.epoch == 5
    assert len(fit.history.rows) == 5
    assert len(notes) == 1
    assert f"{tmp_path / 'copy' / name_of(6)} is damaged (" in notes[0]
    assert "\n" not in notes[0]


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_all_are_damaged_nothing_is_lost(two, tmp_path, damage):
    with pytest.raises(InputError, match="holds no checkpoint that can be read: start a new run") as caught:
        latest_of(two, tmp_path / "copy", DAMAGES[damage], name_of(5))
    assert "\n" not in str(caught.value)
    assert names(tmp_path / "copy") == [name_of(5), name_of(6)]


@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(0, 255))
@hypothesis.settings(max_examples=150)
def test_one_byte_anywhere(two, tmp_path_factory, share, flip):
    """Cut there for 0, else changed: it is found out, or was of no account."""
    size = (two / name_of(6)).stat().st_size
    place = int(share * size)

    def damage(path):
        content = bytearray(path.read_bytes())
        content[place] ^= flip
        path.write_bytes(content if flip else content[:place])

    fit, notes = latest_of(two, tmp_path_factory.mktemp("byte") / "copy", damage)
    if fit.epoch == 6:
        assert notes == []
        assert_same(all_of(fit), all_of(Checkpoints(two, HERE, RUN, 1, pytest.fail).latest().fit))
    else:
        assert fit.epoch == 5
        assert len(notes) == 1


def test_a_folder_in_the_way_ends_no_run(two, tmp_path):
    """Neither where the next is to be written, nor among those to be removed."""
    folder, notes = tmp_path / "copy", []
    shutil.copytree(two, folder)
    for epoch in (1, 3):
        (folder / name_of(epoch)).mkdir()
    for epoch in (5, 6):
        (folder / name_of(epoch)).unlink()
    checkpoints = Checkpoints(folder, HERE, RUN, 1, notes.append)
    run_with(checkpoints)
    assert checkpoints.latest().fit.epoch == 6
    assert len(notes) == 1
    checkpoints.forget()
    assert names(folder) == [name_of(1), name_of(3)]


# Of another run


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ({"settings": {"seed": 2, "hidden": (4,)}}, "different settings"),
        ({"settings": {"seed": 1}}, "different settings"),
        ({"data": "ffffffff"}, "different data"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(two, other, part):
    before = {path.name: path.read_bytes() for path in two.iterdir()}
    with pytest.raises(InputError, match=part) as caught:
        Checkpoints(two, HERE, RUN | other, 1, pytest.fail).latest()
    assert str(two / name_of(6)) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert before == {path.name: path.read_bytes() for path in two.iterdir()}


def test_a_checkpoint_says_what_it_is(two):
    with safe_open(two / name_of(6), "np") as file:
        description = json.loads(file.metadata()["xpnet"])
    assert description["epoch"] == 6
    assert description["run"] == json.loads(json.dumps(RUN))
