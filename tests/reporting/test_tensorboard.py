"""TensorBoard's events, read back."""

import builtins
import struct
import subprocess
import sys

import numpy as np
import pytest

from xpnet.errors import InputError
from xpnet.reporting import tensorboard
from xpnet.training.history import History, Row


@pytest.fixture(scope="module")
def event_type():
    return pytest.importorskip("tensorboardX.proto.event_pb2").Event


def history(epochs, val_loss=0.25):
    return History(
        [
            Row(5 * k, k, np.float64(0.5**k), np.float32(1 / k), 0.5, val_loss, 0.75, 1.0 * k)
            for k in range(1, epochs + 1)
        ]
    )


def masked_crc(data):
    """CRC-32C as the format has it, by its definition."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read(folder, event_type):
    """The events of the only file in a folder, by the format's description (TFRecord)."""
    (path,) = folder.glob("events.out.tfevents.*")
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        content = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12])[0] == masked_crc(data[:8])
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked_crc(content)
        events.append(event_type.FromString(content))
        data = data[16 + length :]
    return events


def scalars(events):
    found = {}
    for event in events:
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_the_events_are_those_of_the_history(tmp_path, event_type):
    h = history(3)
    with tensorboard.EventLog(tmp_path) as log:
        log.on_epoch(history(1))
        log.on_epoch(h)
        assert len(read(tmp_path, event_type)) == 1 + 5 * 3  # there already, for whoever looks on
    events = read(tmp_path, event_type)
    assert events[0].file_version == "brain.Event:2"
    found = scalars(events)
    assert sorted(found) == sorted(tensorboard.TAGS)
    for tag, name in tensorboard.TAGS.items():
        expected = [(row.step, np.float32(getattr(row, name))) for row in h.rows]
        assert found[tag] == expected


def test_tensorboard_itself_reads_them(tmp_path, event_type):
    del event_type
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard.EventLog(tmp_path) as log:
        log.on_epoch(history(3))
    accumulator = module.EventAccumulator(str(tmp_path))
    accumulator.Reload()
    assert sorted(accumulator.Tags()["scalars"]) == sorted(tensorboard.TAGS)
    assert [(e.step, e.value) for e in accumulator.Scalars("accuracy/validation")] == [
        (5, 0.75),
        (10, 0.75),
        (15, 0.75),
    ]


def test_what_was_not_measured_is_left_out(tmp_path, event_type):
    with tensorboard.EventLog(tmp_path) as log:
        log.on_epoch(history(1, val_loss=np.nan))
    found = scalars(read(tmp_path, event_type))
    assert sorted(tensorboard.TAGS.keys() - found.keys()) == ["loss/validation"]


def test_a_second_run_takes_the_place_of_the_first(tmp_path, event_type):
    for epochs in (4, 2):
        with tensorboard.EventLog(tmp_path) as log:
            log.on_epoch(history(epochs))
    assert len(scalars(read(tmp_path, event_type))["loss/train"]) == 2


@pytest.mark.parametrize("wanted", [True, False])
def test_the_callback_does_what_the_other_does(tmp_path, event_type, wanted):
    seen = []
    with tensorboard.logging_to(tmp_path, wanted, seen.append) as on_epoch:
        on_epoch(history(1))
    assert len(seen) == 1
    assert len(list(tmp_path.iterdir())) == wanted
    if wanted:
        assert len(scalars(read(tmp_path, event_type))["loss/train"]) == 1


def test_without_the_package(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("tensorboardX"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        InputError, match=r'--tensorboard needs tensorboardX: pip install "xpnet\[tensorboard\]"'
    ):
        tensorboard.EventLog(tmp_path)


def test_nothing_is_imported_before_it_is_used():
    code = "import sys, xpnet.reporting.tensorboard; sys.exit('tensorboardX' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
