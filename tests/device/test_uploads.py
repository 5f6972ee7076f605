"""Rows on their way to a GPU: what waits for what, on a stand-in that notes what is asked for."""

import types

import numpy as np

from xpnet.device.uploads import Uploads, pinned


class Event:
    def __init__(self, disable_timing):
        assert disable_timing
        self.done = False


class Stream:
    def __init__(self, log, name):
        self.log, self.name = log, name

    def __enter__(self):
        self.log.append(("on", self.name))

    def __exit__(self, *_):
        self.log.append(("off", self.name))

    def record(self, event):
        event.of = self.name
        return event

    def wait_event(self, event):
        self.log.append((self.name, "waits for", event.of))


class Copied(np.ndarray):
    def set(self, rows, stream):
        stream.log.append((stream.name, "copies", len(rows)))
        self[...] = rows


def stand_in():
    log = []
    current = Stream(log, "current")
    cuda = types.SimpleNamespace(
        Event=Event,
        Stream=lambda non_blocking: Stream(log, "copies" if non_blocking else None),
        get_current_stream=lambda: current,
        alloc_pinned_memory=bytearray,
    )
    return types.SimpleNamespace(cuda=cuda, empty=lambda *of: np.empty(*of).view(Copied)), log


def test_a_copy_waits_for_what_was_asked_before_and_who_needs_it_for_the_copy():
    cupy, log = stand_in()
    rows = pinned(cupy, np.arange(6.0).reshape(3, 2))
    receive = Uploads(cupy).send(rows)
    log.append("a step")
    np.testing.assert_array_equal(receive(), np.arange(6.0).reshape(3, 2))
    assert log == [
        ("copies", "waits for", "current"),
        ("on", "copies"),
        ("copies", "copies", 3),
        ("off", "copies"),
        "a step",
        ("current", "waits for", "copies"),
    ]


def test_the_hosts_memory_is_kept_until_it_was_read():
    cupy, _ = stand_in()
    uploads = Uploads(cupy)
    for count in (1, 2, 3):
        uploads.send(pinned(cupy, np.ones((count, 2))))
    kept = uploads._under_way
    assert [len(rows) for _, rows in kept] == [1, 2, 3]
    kept[0][0].done = kept[1][0].done = True
    uploads.send(pinned(cupy, np.ones((4, 2))))
    assert [len(rows) for _, rows in kept] == [3, 4]
