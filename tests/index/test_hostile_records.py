"""What a catalog says of its encoder comes from a stranger: nothing runs, nothing is fetched, no raw error."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from typer.testing import CliRunner

from late_interaction import Index
from late_interaction.cli import app
from late_interaction.encoders.record import EncoderRecord, InvalidRecordError
from late_interaction.errors import (
    CorruptIndexError,
    IncompatibleEncoderError,
    InvalidRequestError,
    LateInteractionError,
    MissingEncoderError,
)
from tests.checkpoints import in_hub_cache
from tests.engines.catalogs import set_setting
from tests.fakes import WordEncoder
from tests.network import NoNetwork

FINGERPRINT = {"model": "words", "dim": 16}


@pytest.fixture
def network(monkeypatch):
    return NoNetwork(monkeypatch)


@pytest.fixture
def stranger(path):
    """Write a record, any text, into the catalog of an index of two documents."""
    with Index.open(path, encoder=WordEncoder()) as index:
        index.add(["one river", "two rivers"])

    def write(record):
        text = record if isinstance(record, str) else json.dumps(record)
        set_setting(path, "encoder", text)
        return path

    return write


def nested(depth):
    return "[" * depth + "]" * depth


# Not a record at all: everything that needs it says so.
DAMAGED = {
    "a list": [],
    "a string": '"minilm"',
    "a number": "1e400",
    "true": "true",
    "nested": f'{{"fingerprint": {{"a": {nested(500)}}}}}',
    "an unknown key": {"source": "minilm", "code": "import os", "fingerprint": {}},
    "source: number": {"source": 5, "fingerprint": {}},
    "source: list": {"source": ["minilm"], "fingerprint": {}},
    "source: empty": {"source": "", "fingerprint": {}},
    "source: endless": {"source": "x" * 1_000_000, "fingerprint": {}},
    "source: NUL": {"source": "a\0b", "fingerprint": {}},
    "source: escape": {"source": "\x1b]0;owned\x07", "fingerprint": {}},
    "source: surrogate": '{"source": "\\ud800", "fingerprint": {}}',
    "revision: object": {"source": "minilm", "revision": {}, "fingerprint": {}},
    "revision: escape": {"source": "minilm", "revision": "\x9b31m", "fingerprint": {}},
    "options: list": {"source": "minilm", "options": ["trust_remote_code"], "fingerprint": {}},
    "options: string": {"source": "minilm", "options": "trust_remote_code", "fingerprint": {}},
    "reduction: string": {"reduction": "mean", "fingerprint": {}},
    "reduction: other": {"reduction": {"pooling": 2, "dim": 8, "encoder": "x"}, "fingerprint": {}},
    "reduction: zero": {"reduction": {"pooling": 0, "dim": 16}, "fingerprint": {}},
    "reduction: float": {"reduction": {"pooling": 2.5, "dim": 16}, "fingerprint": {}},
    "reduction: true": {"reduction": {"pooling": True, "dim": 16}, "fingerprint": {}},
    "reduction: huge": {"reduction": {"pooling": 10**12, "dim": 16}, "fingerprint": {}},
    "modalities: string": {"modalities": "text", "fingerprint": {}},
    "modalities: unknown": {"modalities": ["smell"], "fingerprint": {}},
    "modalities: none": {"modalities": [], "fingerprint": {}},
    "modalities: objects": {"modalities": [{}], "fingerprint": {}},
    "fingerprint: list": {"source": "minilm", "fingerprint": []},
    "fingerprint: null": {"source": "minilm", "fingerprint": None},
    "fingerprint: NaN": '{"source": "minilm", "fingerprint": {"probe": [NaN]}}',
    "fingerprint: beyond 64 bits": {"fingerprint": {"n": 2**70}},
    "fingerprint: gigantic": {"fingerprint": {"x": "y" * 5_000_000}},
}

# Read as a record, but nothing that may be loaded.
UNLOADABLE = {
    "trust": {"source": "FOLDER", "options": {"trust_remote_code": True}, "fingerprint": FINGERPRINT},
    "a device": {"source": "FOLDER", "options": {"device": "cuda"}, "fingerprint": FINGERPRINT},
    "the network": {"source": "some/model", "options": {"local_files_only": False}, "fingerprint": FINGERPRINT},
    "an option of a wrong type": {
        "source": "FOLDER",
        "options": {"image_tokens_only": 1},
        "fingerprint": FINGERPRINT,
    },
    "a relative folder": {"source": "./model", "fingerprint": FINGERPRINT},
    "a folder above": {"source": "../model", "fingerprint": FINGERPRINT},
    "a deep relative folder": {"source": "a/b/c", "fingerprint": FINGERPRINT},
    "the home": {"source": "~/model", "fingerprint": FINGERPRINT},
    "a share": {"source": "//host/share/model", "fingerprint": FINGERPRINT},
    "a share of Windows": {"source": "\\\\host\\share\\model", "fingerprint": FINGERPRINT},
    "an address": {"source": "https://evil.example/model", "fingerprint": FINGERPRINT},
    "a revision above": {"source": "some/model", "revision": "../../../etc/passwd", "fingerprint": FINGERPRINT},
    "an absolute revision": {"source": "some/model", "revision": "/etc/passwd", "fingerprint": FINGERPRINT},
}


def calls(index):
    """Everything that needs the encoder."""
    yield lambda: index.search("river")
    yield lambda: index.search_many(["river", "two"], mode="hybrid")
    yield lambda: index.rerank("river", documents=["a river"])
    yield lambda: index.encoder
    yield index.warm_up
    if not index.engine.read_only:
        yield lambda: index.add(["more"])


def command_line(path):
    """Each command that reads the record; none may end in a traceback."""
    for arguments in (["search", str(path), "river"], ["info", str(path)], ["info", str(path), "--json"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "\x1b]" not in result.output
        yield result


@pytest.mark.parametrize("record", DAMAGED.values(), ids=DAMAGED)
def test_what_is_no_record(stranger, network, record):
    path = stranger(record)
    for read_only in (True, False):
        try:
            index = Index.open(path, read_only=read_only)
        except CorruptIndexError as error:  # no setting is such a value
            assert "encoder" in str(error)  # noqa: PT017
            continue
        with index:
            for call in (*calls(index), index.info, lambda index=index: index.modalities):
                with pytest.raises(CorruptIndexError, match="encoder") as damaged:
                    call()
                assert str(damaged.value).isprintable()
                assert len(str(damaged.value)) < 600
            assert len(index.search("river", mode="lexical")) == len(list(index.scan())) == 2
        with pytest.raises(CorruptIndexError, match="encoder"):
            Index.open(path, encoder=WordEncoder(), read_only=read_only)
        with pytest.raises(CorruptIndexError, match="encoder"):
            Index.open(path, pooling=2, read_only=read_only)
    assert [result.exit_code for result in command_line(path)] == [1, 1, 1]
    assert network.asked == []


@pytest.mark.parametrize("record", UNLOADABLE.values(), ids=UNLOADABLE)
def test_what_may_not_be_loaded(stranger, network, record, pylate_checkpoint, tmp_path, monkeypatch):
    folder = shutil.copytree(pylate_checkpoint, tmp_path / "model")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    path = stranger(json.dumps(record).replace("FOLDER", str(folder)))
    for read_only in (True, False):
        with Index.open(path, read_only=read_only) as index:
            for call in calls(index):
                with pytest.raises(CorruptIndexError, match=r"encoder\.(options|source|revision)"):
                    call()
            assert index.modalities == ("text",)
            assert index.info()["encoder"]["source"] == index.engine.encoder_record["source"]
        with Index.open(path, encoder=WordEncoder(), read_only=read_only) as index:  # the caller knows better
            assert len(index.search("river")) == 2
    assert [result.exit_code for result in command_line(path)] == [1, 0, 0]
    assert network.asked == []


@pytest.mark.parametrize("options", [{"trust_remote_code": True}, {}, {"image_tokens_only": False}], ids=str)
def test_code_of_the_folder_never_runs(stranger, network, options, pylate_checkpoint, tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    folder = shutil.copytree(pylate_checkpoint, tmp_path / "model")
    (folder / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Module: pass\n", "utf-8")
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    modules[0]["type"] = "evil.Module"
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["auto_map"] = {"AutoModel": "evil.Module", "AutoConfig": "evil.Module"}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    path = stranger({"source": str(folder), "options": options, "fingerprint": FINGERPRINT})
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    for read_only in (True, False):
        with Index.open(path, read_only=read_only) as index:
            for call in calls(index):
                with pytest.raises((CorruptIndexError, MissingEncoderError)):
                    call()
    assert [result.exit_code for result in command_line(path)] == [1, 0, 0]
    assert not canary.exists()
    assert "evil" not in sys.modules
    assert network.asked == []


class TestNames:
    """A name on the hub is loaded from the local cache; the caller alone has it downloaded."""

    NAME = "someone/tiny-colbert"

    @pytest.fixture
    def cache(self, tmp_path, monkeypatch):
        import huggingface_hub.constants

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.chdir(tmp_path)
        return tmp_path / "hub"

    @pytest.fixture
    def built(self, path, cache, pylate_checkpoint):
        in_hub_cache(cache, self.NAME, pylate_checkpoint)
        with Index.open(path, encoder=self.NAME) as index:
            index.add(["the quick brown fox", "the rain in spain"])
        return path

    def test_it_opens_again_from_the_cache(self, built, network):
        with Index.open(built, read_only=True) as index:
            assert len(index.search("fox", 2)) == 2
            assert index.encoder.source == self.NAME
        assert network.asked == []

    @pytest.mark.parametrize(
        ("revision", "advice"),
        [(None, "encoder='someone/tiny-colbert')"), ("v2", "load_encoder('someone/tiny-colbert', revision='v2'))")],
    )
    def test_it_is_not_downloaded(self, stranger, cache, network, revision, advice):
        path = stranger({"source": self.NAME, "revision": revision, "fingerprint": FINGERPRINT})
        for read_only in (True, False):
            with Index.open(path, read_only=read_only) as index:
                for call in calls(index):
                    with pytest.raises(MissingEncoderError) as missing:
                        call()
                    assert "is not in the local cache" in str(missing.value)
                    assert f"Index.open(path, encoder={advice.removeprefix('encoder=')}" in str(missing.value)
        assert [result.exit_code for result in command_line(path)] == [1, 0, 0]
        assert network.asked == []
        with pytest.raises(LateInteractionError):
            Index.open(path, encoder=self.NAME)
        assert "huggingface.co" in network.asked  # the caller's own word: it was tried

    def test_a_folder_of_that_name_is_not_taken_for_it(self, built, cache, pylate_checkpoint, tmp_path):
        shutil.copytree(pylate_checkpoint, tmp_path / self.NAME)
        with Index.open(built, read_only=True) as index, pytest.raises(MissingEncoderError, match="working directory"):
            index.search("fox")

    def test_a_folder_that_has_gone(self, path, pylate_checkpoint, tmp_path, network):
        folder = shutil.copytree(pylate_checkpoint, tmp_path / "model")
        Index.open(path, encoder=folder).close()
        folder.rename(tmp_path / "moved")
        with Index.open(path) as index, pytest.raises(MissingEncoderError, match=r"Index\.open\(path, encoder="):
            index.add(["more"])
        with Index.open(path, encoder=tmp_path / "moved") as index:
            index.add(["more"])
        assert network.asked == []


FINGERPRINTS = {
    "a probe of strings": {**FINGERPRINT, "probe": ["a", "b"]},
    "a probe that is text": {**FINGERPRINT, "probe": "x" * 100_000},
    "a probe of booleans": {**FINGERPRINT, "probe": [True, False]},
    "a nested probe": {**FINGERPRINT, "probe": [[0.5]]},
    "an empty probe": {**FINGERPRINT, "probe": []},
    "a probe of huge numbers": {**FINGERPRINT, "probe": [1e308] * 16},
    "a probe of nothing": {**FINGERPRINT, "probe": [0.0] * 16},
    "modules: a string": {**FINGERPRINT, "modules": "Dense"},
    "modules: numbers": {**FINGERPRINT, "modules": [1, 2]},
    "modules: strange types": {**FINGERPRINT, "modules": [{"type": ["x"]}, {"type": {"y": 1}}]},
    "image_processor: a list": {**FINGERPRINT, "image_processor": [1]},
    "a key with an escape": {**FINGERPRINT, "\x1b[31mkey": "\x1b]0;owned\x07"},
    "a gigantic value": {**FINGERPRINT, "more": "x" * 1_000_000},
    "another dimension": {**FINGERPRINT, "dim": "16"},
    "nothing": {},
}


class Probing(WordEncoder):
    @property
    def fingerprint(self):
        return {**super().fingerprint, "probe": [0.25] * 16}


@pytest.mark.parametrize("fingerprint", FINGERPRINTS.values(), ids=FINGERPRINTS)
@pytest.mark.parametrize("encoder", [WordEncoder(), Probing()], ids=["without a probe", "with a probe"])
def test_strange_fingerprints_are_differences(stranger, fingerprint, encoder):
    path = stranger({"fingerprint": fingerprint})
    with pytest.raises(IncompatibleEncoderError) as refused:
        Index.open(path, encoder=encoder)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1500
    with Index.open(path, read_only=True) as index:
        assert "probe" not in index.info()["encoder"]["fingerprint"]


@pytest.mark.parametrize("reduction", [{"pooling": 2, "dim": 8}, {"pooling": 2, "dim": 64}])
def test_a_reduction_to_another_dimension_than_the_vectors(stranger, reduction):
    path = stranger({"reduction": reduction, "fingerprint": {**FINGERPRINT, **reduction}})
    with pytest.raises(CorruptIndexError, match="reduction"):
        Index.open(path, encoder=WordEncoder())


def test_an_encoder_of_fewer_dimensions_than_are_kept(path):
    Index.open(path, encoder=WordEncoder(), pooling=2, dim=12).close()
    with pytest.raises(IncompatibleEncoderError, match="12"):
        Index.open(path, encoder=WordEncoder(dim=8))


class TestEncodersOfTheUsersOwn:
    """Their attributes may have the names of what an index remembers, and mean something else."""

    ATTRIBUTES = {  # noqa: RUF012
        "source": "the library of Alexandria",
        "revision": 3,
        "options": {"trust_remote_code": True},
        "reduction": "mean",
    }

    @pytest.mark.parametrize("name", ATTRIBUTES)
    def test_they_are_passed_again(self, path, name):
        encoder = WordEncoder()
        setattr(encoder, name, self.ATTRIBUTES[name])
        with Index.open(path, encoder=encoder, pooling=2) as index:
            index.add(["one river"])
            assert index.info()["encoder"]["reduction"] == {"pooling": 2, "dim": 16}
        with Index.open(path) as index, pytest.raises(MissingEncoderError, match="a custom one"):
            index.search("river")
        with Index.open(path, encoder=WordEncoder()) as index:
            assert len(index.search("river")) == 1

    @pytest.mark.parametrize(
        "value", [float("nan"), 2**70, "x" * 5_000_000, "\ud800"], ids=["nan", "big", "long", "bad"]
    )
    def test_a_fingerprint_that_could_not_be_read_again_makes_no_index(self, path, value):
        class Strange(WordEncoder):
            @property
            def fingerprint(self):
                return {"value": value}

        with pytest.raises(InvalidRequestError, match="Strange cannot be remembered"):
            Index.open(path, encoder=Strange())
        assert not path.exists()


def test_records_of_earlier_releases_are_read():
    """They had no options, no reduction and no modalities at first."""
    record = EncoderRecord.parse({"source": "minilm", "revision": None, "fingerprint": {"dim": 384}})
    assert (record.options, record.reduction, record.modalities) == ({}, None, ("text",))
    assert EncoderRecord.parse(record.to_json()) == record
    assert EncoderRecord.parse(json.loads(json.dumps(record.to_json()))) == record
    with pytest.raises(InvalidRecordError):
        EncoderRecord.parse(None)
