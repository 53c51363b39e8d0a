"""Every kind of checkpoint with an oracle beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from late_interaction import load_encoder
from late_interaction.encoders.minilm_package import minilm_folder
from tests.encoders.oracle import Oracle

if TYPE_CHECKING:
    from pathlib import Path

    from late_interaction.encoders import TextEncoder

_BERT_MARKERS = ("[unused0]", "[unused1]")
_PYLATE_MARKERS = ("[Q] ", "[D] ")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads that wait for each other cost tiny models far more than they gain, above all on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class Case:
    """An encoder of the package and the oracle for the same checkpoint."""

    encoder: TextEncoder
    oracle: Oracle
    folder: Path

    def encode(self, texts, task):
        """`encode_queries` or `encode_documents`."""
        return encode(self.encoder, texts, task)


def encode(encoder, texts, task):
    return encoder.encode_queries(texts) if task == "query" else encoder.encode_documents(texts)


@pytest.fixture(scope="session")
def stanford_attended_checkpoint(checkpoints):
    from tests.checkpoints import stanford

    return stanford(checkpoints / "stanford-attended", attend=True, seed=7, query=24, document_length=60)


@pytest.fixture(scope="session")
def pylate_attended_checkpoint(checkpoints):
    from tests.checkpoints import pylate

    return pylate(checkpoints / "pylate-attended", attend=True, seed=8, document_length=70)


@pytest.fixture(scope="session")
def native_checkpoint(checkpoints, pylate_checkpoint):
    """The PyLate checkpoint as sentence-transformers saves it in its own multi-vector format."""
    from sentence_transformers import MultiVectorEncoder

    folder = checkpoints / "native"
    MultiVectorEncoder(str(pylate_checkpoint)).save_pretrained(str(folder))
    return folder


def _stanford(folder):
    return Oracle(folder, markers=_BERT_MARKERS, lengths=(32, 180), expansion="skipped", heads=["."])


def _stanford_attended(folder):
    return Oracle(folder, markers=_BERT_MARKERS, lengths=(24, 60), expansion="attended", heads=["."])


def _pylate(folder):
    return Oracle(folder, markers=_PYLATE_MARKERS, lengths=(32, 180), expansion="skipped", heads=["1_Dense"])


def _pylate_attended(folder):
    return Oracle(folder, markers=_PYLATE_MARKERS, lengths=(32, 70), expansion="attended", heads=["1_Dense"])


def _modernbert(folder):
    return Oracle(folder, markers=_PYLATE_MARKERS, lengths=(48, 300), heads=["1_Dense", "2_Dense"])


def _modernbert_expansion(folder):
    heads = ["1_Dense", "2_Dense"]
    return Oracle(folder, markers=_PYLATE_MARKERS, lengths=(48, 300), expansion="skipped", heads=heads)


_ORACLES = {
    "stanford": _stanford,
    "stanford_attended": _stanford_attended,
    "pylate": _pylate,
    "pylate_attended": _pylate_attended,
    "modernbert": _modernbert,
    "modernbert_expansion": _modernbert_expansion,
}


@pytest.fixture(scope="session", params=[*_ORACLES, "native", "minilm"])
def case(request):
    """Each checkpoint in turn."""
    if request.param == "minilm":
        folder = minilm_folder()
        encoder = request.getfixturevalue("minilm")
        return Case(encoder, Oracle(folder, markers=None, lengths=(512, 256)), folder)
    folder = request.getfixturevalue(f"{request.param}_checkpoint")
    if request.param == "native":
        # The same model in other files: the oracle reads the files it was made from.
        return Case(load_encoder(folder), _pylate(request.getfixturevalue("pylate_checkpoint")), folder)
    return Case(load_encoder(folder), _ORACLES[request.param](folder), folder)


@pytest.fixture(scope="session", params=["colpali", "colqwen2", "colmodernvbert", "packaged"])
def page_case(request, checkpoints):
    """Each kind of checkpoint that reads images of pages."""
    return _page_case(request.param, checkpoints)


@pytest.fixture(scope="session", params=["colpali", "colqwen2", "colmodernvbert"])
def colvision_case(request, checkpoints):
    """Each checkpoint in the format of transformers."""
    return _page_case(request.param, checkpoints)


@pytest.fixture(scope="session")
def colqwen2_case(checkpoints):
    return _page_case("colqwen2", checkpoints)


@pytest.fixture(scope="session")
def packaged_case(checkpoints):
    return _page_case("packaged", checkpoints)


def _page_case(kind, checkpoints):
    from tests import page_checkpoints
    from tests.encoders import page_oracle

    build, oracle = {
        "colpali": (page_checkpoints.colpali, page_oracle.ColPali),
        "colqwen2": (page_checkpoints.colqwen2, page_oracle.ColQwen2),
        "colmodernvbert": (page_checkpoints.colmodernvbert, page_oracle.ColModernVBert),
        "packaged": (page_checkpoints.packaged_modernvbert, page_oracle.Packaged),
    }[kind]
    folder = checkpoints / kind
    if not folder.exists():
        build(folder)
    return Case(load_encoder(folder), oracle(folder), folder)
