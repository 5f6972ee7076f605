"""Writing files whole or not at all."""

import errno
import os
import stat

import pytest

from xpnet.files import replacing


def write(path, text):
    with replacing(path) as temporary:
        temporary.write_text(text)


def test_a_new_file_and_then_another_in_its_place(tmp_path):
    path = tmp_path / "a.txt"
    for text in ("one", "two"):
        write(path, text)
        assert path.read_text() == text
        assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    write(path, "old")
    with replacing(path) as temporary:
        temporary.write_text("half of the new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])
def test_what_stops_the_writing_leaves_the_old_file_alone(tmp_path, stop):
    path = tmp_path / "a.txt"
    write(path, "old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise stop

    with pytest.raises(stop):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_turns_out_to_be_full_at_the_end(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write(path, "old")

    def fsync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match=r"a\.txt"):
        write(tmp_path / "a.txt", "text")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "none" / "a.txt", "text")


@pytest.mark.skipif(os.name != "posix", reason="permission bits are those of POSIX")
def test_permissions_are_those_that_the_umask_says(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.txt", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
