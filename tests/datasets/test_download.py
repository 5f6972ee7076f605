"""Downloads, from a server of the test's own on the loopback interface."""

import contextlib
import errno
import functools
import gc
import hashlib
import io
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cifar_files import write_cifar

from xpnet.datasets import cifar, download
from xpnet.datasets.bar import Bar
from xpnet.errors import InputError

pooch = pytest.importorskip("pooch", reason="downloads need the cli extra")
# An answer that pooch refuses it leaves to the garbage collector, as the fixture does not.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Return an empty cache folder, which pooch takes for the user's."""
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr("time.sleep", lambda _: None)  # pooch waits before it tries again
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    yield tmp_path / "cache" / "xpnet"
    gc.collect()


@pytest.fixture
def log(caplog):
    """Return what pooch, whose logger is by itself, logs."""
    pooch.get_logger().addHandler(caplog.handler)
    yield caplog
    pooch.get_logger().removeHandler(caplog.handler)


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next answer of a list, the last one again and again.

    An answer is the content to send, a status to send instead, or the number of bytes after which
    to break off.
    """

    def __init__(self, answers, content, *args):
        self.answers, self.content = answers, content
        super().__init__(*args)

    def do_GET(self):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer in (404, 503):
            self.send_error(answer)
            return
        content = answer if isinstance(answer, bytes) else self.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:answer] if isinstance(answer, int) else content)

    def log_message(self, *args):
        """Keep quiet."""


@contextlib.contextmanager
def serving(*answers, content=CONTENT):
    """Run a server; yield the URL of a file on it and the answers that it has not given yet."""
    answers = list(answers)
    handler = functools.partial(Handler, answers, content)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/folder/file.tar.gz", answers
        finally:
            server.shutdown()
            thread.join()


def refusal(*args):
    with pytest.raises(InputError) as caught:
        download.fetch(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(folder):
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_a_file_arrives_in_the_cache_and_stays(cache, capfd, log):
    with serving(CONTENT) as (url, _):
        path = download.fetch(url, SHA256)
    assert path == cache / "file.tar.gz"
    assert path.read_bytes() == CONTENT
    assert names(cache) == ["file.tar.gz"]
    assert download.fetch(url, SHA256) == path  # the server is gone
    assert capfd.readouterr() == ("", "")
    assert log.messages == []


@pytest.mark.parametrize("failure", [503, 1000, b"other content"])
def test_a_download_that_fails_once_is_tried_again(cache, failure):
    with serving(failure, CONTENT) as (url, answers):
        assert download.fetch(url, SHA256).read_bytes() == CONTENT
        assert answers == [CONTENT]
    assert names(cache) == ["file.tar.gz"]


def test_a_damaged_file_in_the_cache_is_downloaded_again(cache):
    cache.mkdir(parents=True)
    (cache / "file.tar.gz").write_bytes(CONTENT[:-1])
    with serving(CONTENT) as (url, _):
        assert download.fetch(url, SHA256).read_bytes() == CONTENT


def test_a_wrong_checksum_is_one_line_and_leaves_nothing(cache):
    with serving(b"not what was asked for") as (url, _):
        message = refusal(url, SHA256)
    assert message.startswith(f"{url} came with a wrong SHA-256 checksum 4 times: try again")
    assert names(cache) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(404, "HTTP 404"), (503, "HTTP 503"), (100_000, "ChunkedEncodingError")],
)
def test_a_server_that_fails_is_one_line_and_leaves_nothing(cache, answer, reason):
    with serving(answer) as (url, _):
        message = refusal(url, SHA256)
    assert message.startswith(f"{url} cannot be downloaded ({reason}): check the network")
    assert names(cache) == []


def test_no_server_is_one_line_and_leaves_nothing(cache):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file.tar.gz"
        message = refusal(url, SHA256)
    assert message.startswith(f"{url} cannot be downloaded (ConnectionError): check the network")
    assert names(cache) == []


def test_a_full_disk_is_one_line_and_leaves_nothing(cache, monkeypatch):
    def write_half(_downloader, _url, output_file, _pooch):
        Path(output_file).write_bytes(CONTENT[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", write_half)
    message = refusal("http://127.0.0.1/file.tar.gz", SHA256)
    assert message.startswith(f"{cache} cannot be written (No space left on device): make room")
    assert names(cache) == []


def test_a_cache_folder_that_cannot_be_made_is_one_line(cache):
    cache.parent.write_text("a file where the folder should be")
    assert f"{cache} cannot be written" in refusal("http://127.0.0.1/file.tar.gz", SHA256)


@pytest.mark.usefixtures("cache")
def test_a_cache_folder_without_permission_is_one_line(monkeypatch):
    def refuse(path):
        raise PermissionError(f"Pooch says this\nin lines, of {path}")  # and without an errno

    monkeypatch.setattr("pooch.core.make_local_storage", refuse)
    message = refusal("http://127.0.0.1/file.tar.gz", SHA256)
    assert "cannot be written (PermissionError): make room and allow writing" in message


def test_without_pooch_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert download.cache_folder() is None
    assert refusal("http://127.0.0.1/file.tar.gz", SHA256).endswith('pip install "xpnet[cli]"')


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other places")
def test_the_cache_is_where_the_system_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / "xpnet"


# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.usefixtures("cache")
def test_progress_is_a_line_where_there_is_no_terminal(log, capsys):
    with serving(CONTENT) as (url, _):
        download.fetch(url, SHA256, progress=True)
    [message] = log.messages
    assert url in message
    assert capsys.readouterr() == ("", "")  # pooch's own line went to where stderr was at first


@pytest.mark.usefixtures("cache")
def test_progress_is_a_bar_on_a_terminal(monkeypatch):
    pytest.importorskip("rich", reason="a bar needs the cli extra")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    with serving(CONTENT) as (url, _):
        download.fetch(url, SHA256, progress=True)
    assert "file.tar.gz" in terminal.getvalue()
    assert "256.0/256.0 kB" in terminal.getvalue()


def test_the_bar_starts_again_with_the_download():
    progress = pytest.importorskip("rich.progress", reason="a bar needs the cli extra")
    display = progress.Progress()
    bar = Bar(display)
    bar.total = 0  # of a server that does not say
    assert bar.total is None
    bar.total = 100
    bar.update(70)
    assert display.tasks[0].completed == 70
    bar.total = 100  # what pooch does first in every attempt
    bar.update(30)
    assert display.tasks[0].completed == 30


@pytest.mark.usefixtures("cache")
def test_a_terminal_without_rich_has_no_bar(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with serving(CONTENT) as (url, _):
        assert download.fetch(url, SHA256, progress=True).read_bytes() == CONTENT


# CIFAR-10


def test_cifar10_is_downloaded_once(cache, monkeypatch, tmp_path):
    monkeypatch.delenv("XPNET_DATA_DIR", raising=False)
    content = write_cifar(tmp_path, "python.tar.gz").read_bytes()
    with serving(content) as (url, _):
        monkeypatch.setattr(cifar, "URL", url.replace("file", "cifar-10-python"))
        monkeypatch.setattr(cifar, "SHA256", hashlib.sha256(content).hexdigest())
        assert len(cifar.cifar10().X_test) == 40
    assert names(cache) == ["cifar-10-python.tar.gz"]
    assert len(cifar.cifar10().X_test) == 40  # the server is gone


def test_the_official_archive_and_its_checksum():
    assert cifar.URL == "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    assert cifar.SHA256 == "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
