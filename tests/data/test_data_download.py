"""What is missing is downloaded; where that fails, one line says so, and nothing is left half."""

import gzip
import hashlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trainlab.data import load_images, official_files
from trainlab.errors import RequestError


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_missing_without_network(name, root, cache, no_network):
    with pytest.raises(RequestError) as told:
        load_images(name, root, cache)
    message = str(told.value)
    assert "\n" not in message
    assert f"data set '{name}' not found in {root}" in message
    assert f"{name}/train-*.parquet" in message
    assert f"{name}/train/<class>/*.png" in message
    assert "download failed: " in message
    assert "data=digits and data=shapeset need no download" in message
    assert f"put it in {root}/ or set TRAINLAB_DATA" in message


def test_digits_and_shapeset_need_no_network(root, cache, no_network):
    for name in ("digits", "shapeset"):
        assert len(load_images(name, root, cache).train) > 1000


def test_a_root_that_cannot_be_written_is_said(tmp_path, cache, no_network):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"'mnist' not found in .*Not a directory"):
        load_images("mnist", tmp_path / "file" / "data", cache)


@pytest.fixture
def mirror(monkeypatch, write_mnist, tmp_path):
    """A local server in place of MNIST's; `contents` maps what it serves."""
    from torchvision.datasets import MNIST

    raw, *_ = write_mnist(folder="../served", packed=True)
    contents = {f"/{path.name}": path.read_bytes() for path in raw.iterdir()}
    checks = [(name[1:], hashlib.md5(content).hexdigest()) for name, content in contents.items()]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(contents[self.path])

        def log_message(self, format, *args):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    monkeypatch.setattr(MNIST, "resources", checks)
    yield contents
    server.shutdown()
    server.server_close()


def test_what_is_missing_is_downloaded_into_root(mirror, root, cache):
    data = load_images("mnist", root, cache, val_size=0)
    assert len(data.train) == 40
    assert (root / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file()
    mirror.clear()  # from now on it is there
    assert load_images("mnist", root, cache, val_size=0).fingerprint == data.fingerprint


def test_a_download_that_breaks_off_leaves_nothing(mirror, root, cache):
    intact = mirror["/t10k-labels-idx1-ubyte.gz"]
    mirror["/t10k-labels-idx1-ubyte.gz"] = gzip.compress(b"something else")
    with pytest.raises(RequestError, match="download failed"):
        load_images("mnist", root, cache)
    assert not (root / "MNIST").exists()
    mirror["/t10k-labels-idx1-ubyte.gz"] = intact
    assert len(load_images("mnist", root, cache).test) == 20


def test_a_server_that_never_answers_is_given_up(monkeypatch, root, cache):
    from torchvision.datasets import MNIST

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{silent.getsockname()[1]}/"])
        monkeypatch.setattr(official_files, "TIMEOUT_SECONDS", 0.3)
        begin = time.monotonic()
        with pytest.raises(RequestError, match="download failed"):
            load_images("mnist", root, cache)
        assert time.monotonic() - begin < 10
    assert socket.getdefaulttimeout() is None
