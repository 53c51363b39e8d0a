"""A model that cannot be downloaded is one line within seconds, with the nearest name; a cached one loads."""

from __future__ import annotations

import logging
import re
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from late_interaction import Index, load_encoder
from late_interaction.encoders.near_names import RECOMMENDED
from late_interaction.errors import UnsupportedCheckpointError
from tests.checkpoints import in_hub_cache
from tests.engines.helpers import CHILD_ENVIRONMENT

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


class Hub:
    """A server in place of the hub, which answers every request alike."""

    def __init__(self, status, headers, seconds):
        self.asked = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                hub.asked.append(self.path)
                hub.leave.wait(seconds)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_HEAD

            def log_message(self, *_):
                pass

        self.leave = threading.Event()
        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def close(self):
        self.leave.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def online(tmp_path, monkeypatch):
    """The network may be used, and the local cache is empty."""
    import huggingface_hub.constants

    (tmp_path / "hub").mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "hub"


@pytest.fixture
def hub(online, monkeypatch):
    """Make a hub that answers with a status, headers, and after some seconds."""
    import huggingface_hub.constants

    made = []

    def make(status=404, seconds=0, **headers):
        made.append(Hub(status, {name.replace("_", "-"): value for name, value in headers.items()}, seconds))
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", made[-1].address)
        template = made[-1].address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def no_network(online, monkeypatch):
    """Looking up any address fails at once, as without a network."""

    def refuse(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def refusal(name, **options):
    """The message of the error, which comes within three seconds and is one line."""
    start = time.monotonic()
    with pytest.raises(UnsupportedCheckpointError) as caught:
        load_encoder(name, **options)
    assert time.monotonic() - start < 3
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mini-lm", "minilm"),
        ("MiniLM", "minilm"),
        ("sentence-transformers/all-MiniLM-L6-v2", "minilm"),
        ("LateOn", "lightonai/LateOn"),
        ("lightonai/lateon", "lightonai/LateOn"),
        ("vidore/colqwen2-v1.0", "vidore/colqwen2-v1.0-hf"),
        ("answerai-colbert-small", "answerdotai/answerai-colbert-small-v1"),
        ("nobody/knows-this-model", None),
        ("bert-base-uncased", None),
    ],
)
def test_without_a_network(name, near, no_network, caplog, capfd):
    with caplog.at_level(logging.INFO):
        message = refusal(name)
    assert message.startswith(
        f"The encoder {name!r} is neither a folder nor in the local cache, and the Hugging Face hub"
    )
    assert "cannot be reached" in message
    assert "'minilm'" in message
    assert ("Did you mean" in message) == (near is not None)
    assert near is None or f"Did you mean {near!r}?" in message
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_an_index_is_not_created(no_network, tmp_path):
    with pytest.raises(UnsupportedCheckpointError, match="Did you mean 'minilm'"):
        Index.open(tmp_path / "index", encoder="mini-lm")
    assert not (tmp_path / "index").exists()


def test_an_address_that_is_looked_up_for_minutes(online, monkeypatch):
    leave = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: leave.wait(60))
    try:
        message = refusal("someone/tiny-colbert")
    finally:
        leave.set()
    assert "did not answer within 2 seconds" in message
    assert "HF_HUB_ETAG_TIMEOUT" in message


def test_a_hub_that_does_not_answer(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "1")
    silent = hub(seconds=60)
    message = refusal("someone/tiny-colbert")
    assert "Timeout" in message or "within 1 seconds" in message
    assert len(silent.asked) == 1


@pytest.mark.parametrize(
    ("status", "headers", "problem"),
    [
        (401, {}, "does not exist on the Hugging Face hub, or needs a login"),
        (404, {"X_Error_Code": "RepoNotFound"}, "does not exist on the Hugging Face hub"),
        (403, {"X_Error_Code": "GatedRepo"}, "needs a login"),
        (503, {}, "answers with HTTP status 503. Try again later."),
    ],
)
def test_a_hub_that_refuses(status, headers, problem, hub):
    refusing = hub(status, **headers)
    message = refusal("lighton/LateOn")
    assert problem in message
    assert "Did you mean 'lightonai/LateOn'?" in message
    assert len(refusing.asked) == 1


def test_offline_by_the_variable_of_the_hub(online, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids the use of the network. Did you mean 'minilm'?" in refusal("mini-lm")
    assert "the network must not be used. Did you mean 'minilm'?" in refusal("mini-lm", local_files_only=True)


@pytest.mark.parametrize("how", ["no network", "hub fails", "model is gone"])
def test_a_model_of_the_local_cache(how, online, request, pylate_checkpoint):
    in_hub_cache(online, "someone/tiny-colbert", pylate_checkpoint)
    if how == "no network":
        request.getfixturevalue("no_network")
    else:
        failing = request.getfixturevalue("hub")(503 if how == "hub fails" else 401)
    start = time.monotonic()
    encoder = load_encoder("someone/tiny-colbert")
    assert time.monotonic() - start < 30
    assert encoder.source == "someone/tiny-colbert"
    assert how == "no network" or len(failing.asked) == 1


def test_the_nearest_folder(tmp_path, monkeypatch, pylate_checkpoint, no_network):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "my-colbert").symlink_to(pylate_checkpoint)
    (tmp_path / "my-encoder").symlink_to(pylate_checkpoint)
    (tmp_path / "my-notes").mkdir()
    for given, near in (
        ("models/my-colbrt", "models/my-colbert"),
        ("./models/my-colbrt", "./models/my-colbert"),
        (str(tmp_path / "models" / "mycolbert"), str(tmp_path / "models" / "my-colbert")),
        (Path("models/my-colbrt"), "models/my-colbert"),
        ("myencoder", "my-encoder"),
    ):
        assert f"Did you mean {near!r}?" in refusal(given), given
    assert "Did you mean" not in refusal("./my-note")
    assert "Did you mean" not in refusal("\0/x")


def test_the_encoders_that_the_readme_names():
    rows = README.split("## Which encoder")[1].split("| your own |")[0]
    assert set(re.findall(r'`"([^"]+)"`', rows)) == set(RECOMMENDED)


def test_a_new_process_takes_no_libraries_to_say_so():
    program = (
        "import sys, time\n"
        "start = time.monotonic()\n"
        "from late_interaction import load_encoder\n"
        "try: load_encoder('mini-lm')\n"
        "except Exception as error: print(error)\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    environment = {
        **CHILD_ENVIRONMENT,
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": "/nowhere",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert "Did you mean 'minilm'?" in lines[0]
    assert lines[1] == "False False"
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_name_is_not_the_current_folder(name):
    with pytest.raises(UnsupportedCheckpointError, match="name of the encoder is empty"):
        load_encoder(name)
