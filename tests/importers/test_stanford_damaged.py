"""Damaged and hostile indexes of colbert-ai: an error that names the file, and nothing of it runs."""

from __future__ import annotations

import os
import pickle
import zipfile

import pytest
import torch

from late_interaction.errors import CorruptIndexError
from late_interaction.importers.foreign import SourceOptions
from late_interaction.importers.stanford import STANFORD
from tests.importers.plaid_source import CENTROIDS, DIM, edit_json, write_plaid


def config_of(**changes):
    return lambda folder: edit_json(folder / "metadata.json", lambda values: values["config"].update(changes))


def metadata_of(**changes):
    return lambda folder: edit_json(folder / "metadata.json", lambda values: values.update(changes))


def content_of(name, content):
    return lambda folder: edit_json(folder / name, lambda _: content)


def without(name):
    return lambda folder: (folder / name).unlink()


def truncated(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-200])


def tensor_of(name, change):
    def apply(folder):
        torch.save(change(torch.load(folder / name, weights_only=True)), folder / name)

    return apply


def at_first(value):
    def change(tensor):
        tensor.view(-1)[0] = value
        return tensor

    return change


def with_weights(change):
    return lambda both: (both[0], change(both[1]))


DAMAGES = {
    "no metadata": (without("metadata.json"), "metadata.json is missing"),
    "metadata is a list": (content_of("metadata.json", []), "metadata.json must contain a JSON dict"),
    "no config": (metadata_of(config=None), "metadata.json must contain an object 'config'"),
    "chunks as text": (metadata_of(num_chunks="3"), "metadata.json must contain the number of chunks.*'3'"),
    "chunks as a boolean": (metadata_of(num_chunks=True), "metadata.json must contain the number of chunks.*True"),
    "no chunks": (metadata_of(num_chunks=0), "metadata.json must contain the number of chunks"),
    "more chunks than files": (metadata_of(num_chunks=4), "doclens.3.json is missing"),
    "a billion chunks": (metadata_of(num_chunks=10**9), "doclens.3.json is missing"),
    "nbits as text": (config_of(nbits="2"), "nbits must be one of 1, 2, 4, 8, got '2'"),
    "another nbits": (config_of(nbits=4), "buckets.pt: expected 16 bucket weights"),
    "another dim": (config_of(dim=DIM * 2), "metadata.json claims dim=32, and centroids.pt has 16"),
    "no centroids": (without("centroids.pt"), "centroids.pt is missing"),
    "centroids cut off": (truncated("centroids.pt"), "centroids.pt is not a complete .pt file"),
    "centroids in one row": (tensor_of("centroids.pt", torch.flatten), r"centroids.pt: .* shape \(640,\)"),
    "a centroid of NaN": (tensor_of("centroids.pt", at_first(torch.nan)), "centroids.pt: expected finite"),
    "centroids of integers": (
        tensor_of("centroids.pt", lambda values: values.int()),
        "centroids.pt must contain numbers",
    ),
    "a weight of NaN": (tensor_of("buckets.pt", with_weights(at_first(torch.nan))), "buckets.pt: expected finite"),
    "a weight of infinity": (tensor_of("buckets.pt", with_weights(at_first(torch.inf))), "buckets.pt: expected finite"),
    "weights alone": (
        tensor_of("buckets.pt", lambda both: [both[1]]),
        "buckets.pt must contain the cutoffs and the weights",
    ),
    "no lengths": (without("doclens.1.json"), "doclens.1.json is missing"),
    "an empty chunk": (content_of("doclens.1.json", []), "doclens.1.json is an empty list"),
    "a negative length": (content_of("doclens.1.json", [10, -1]), "doclens.1.json must contain .* got -1"),
    "a length as text": (content_of("doclens.1.json", ["7", 2]), "doclens.1.json must contain .* got '7'"),
    "a fraction": (content_of("doclens.1.json", [7.0, 2]), "doclens.1.json must contain .* got 7.0"),
    "a huge length": (content_of("doclens.1.json", [10**40, 2]), "doclens.1.json must contain"),
    "lengths as an object": (content_of("doclens.1.json", {}), "doclens.1.json must contain a JSON list"),
    "lengths of other passages": (
        content_of("doclens.1.json", [7, 3]),
        "1.metadata.json has num_embeddings=9, .* is 10",
    ),
    "one passage more": (content_of("doclens.1.json", [7, 1, 1]), "1.metadata.json has num_passages=2, .* is 3"),
    "chunks that changed places": (
        content_of("1.metadata.json", {"passage_offset": 0, "num_passages": 2, "num_embeddings": 9}),
        "1.metadata.json has passage_offset=0, .* is 4",
    ),
    "no codes": (without("1.codes.pt"), "1.codes.pt is missing"),
    "codes cut off": (truncated("1.codes.pt"), "1.codes.pt is not a complete .pt file"),
    "codes of fewer tokens": (
        tensor_of("1.codes.pt", lambda codes: codes[:-1].clone()),
        "1.codes.pt has 8 tokens, and doclens.1.json claims 9",
    ),
    "a code beyond the centroids": (
        tensor_of("1.codes.pt", at_first(CENTROIDS)),
        f"1.codes.pt: codes must be from 0 to {CENTROIDS - 1}",
    ),
    "a negative code": (tensor_of("1.codes.pt", at_first(-1)), "1.codes.pt: codes must be from 0"),
    "codes of floats": (
        tensor_of("1.codes.pt", lambda codes: codes.float()),
        "1.codes.pt must contain numbers of type",
    ),
    "no residuals": (without("1.residuals.pt"), "1.residuals.pt is missing"),
    "residuals of fewer tokens": (
        tensor_of("1.residuals.pt", lambda rows: rows[1:].clone()),
        r"1.residuals.pt must have the shape \(9, 4\)",
    ),
    "narrow residuals": (
        tensor_of("1.residuals.pt", lambda rows: rows[:, 1:].clone()),
        r"1.residuals.pt must have the shape \(9, 4\)",
    ),
    "signed residuals": (
        tensor_of("1.residuals.pt", lambda rows: rows.to(torch.int8)),
        "1.residuals.pt must contain numbers",
    ),
    "residuals of other numbers than they store": (
        tensor_of("1.residuals.pt", lambda rows: rows[:1].expand(10**6, -1)),
        "1.residuals.pt has .* bytes, and its tensors claim",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_source(tmp_path, name) -> None:
    damage, message = DAMAGES[name]
    folder = write_plaid(tmp_path / "source").folder
    damage(folder)
    with pytest.raises(CorruptIndexError, match=message):
        list(STANFORD.open(folder, SourceOptions()).read())


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["centroids.pt", "buckets.pt", "1.codes.pt", "1.residuals.pt"])
@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_code_in_a_file_does_not_run(tmp_path, name, form) -> None:
    folder = write_plaid(tmp_path / "source").folder
    canary = tmp_path / "canary"
    if form == "torch":
        torch.save((torch.zeros(2), Canary(canary)), folder / name)
        assert zipfile.is_zipfile(folder / name)
    else:
        (folder / name).write_bytes(pickle.dumps(Canary(canary)))
    with pytest.raises(CorruptIndexError, match=name):
        list(STANFORD.open(folder, SourceOptions()).read())
    assert not canary.exists()


def test_the_collection_that_the_source_names_is_not_opened(tmp_path) -> None:
    fifo = tmp_path / "collection.tsv"
    os.mkfifo(fifo)  # opening it would wait forever
    folder = write_plaid(tmp_path / "source", config={"collection": str(fifo), "checkpoint": str(fifo)}).folder
    index = STANFORD.open(folder, SourceOptions())
    assert len(list(index.read())) == index.documents
    assert index.encoder == str(fifo)


@pytest.mark.parametrize("value", [7, None, [], {"provenance": 3}, ""])
def test_settings_of_odd_types(tmp_path, value) -> None:
    folder = write_plaid(tmp_path / "source", config={"collection": value, "checkpoint": value}).folder
    index = STANFORD.open(folder, SourceOptions())
    assert index.encoder is None
    assert "metadata.json names" not in index.notes[0]
