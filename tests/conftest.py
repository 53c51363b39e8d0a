"""Fixtures for every test: tiny checkpoints, encoders, and no network."""

from __future__ import annotations

import os
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub, which reads it once
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from hypothesis import settings

from late_interaction.encoders import precision
from tests import engine_option
from tests.fakes import ColourEncoder, WordEncoder
from tests.folders import FAST_DIRECTORY

if FAST_DIRECTORY is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", FAST_DIRECTORY)  # where pytest makes temporary directories

# The same examples at every run: a failure is one of the change at hand. `make test-slow` draws others.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

pytest_addoption = engine_option.add_option
pytest_collection_modifyitems = engine_option.skip_differences


@pytest.fixture
def tmp_path(tmp_path):
    """Pytest's own, removed after the test: it is in memory."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _no_native_bfloat16():
    """Encode in float32 unless a test says otherwise, so that results do not depend on the processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "multiplies_bfloat16", lambda: False)
        yield


# torch and transformers take seconds to import: only the tests that need a checkpoint pay for them.


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """A folder for tiny checkpoints."""
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="session")
def stanford_checkpoint(checkpoints):
    """A Stanford ColBERT checkpoint: BERT, 16 dimensions, queries expanded to 32 tokens."""
    from tests.checkpoints import stanford

    return stanford(checkpoints / "stanford")


@pytest.fixture(scope="session")
def pylate_checkpoint(checkpoints):
    """A PyLate checkpoint: BERT, 16 dimensions, queries expanded to 32 tokens."""
    from tests.checkpoints import pylate

    return pylate(checkpoints / "pylate")


@pytest.fixture(scope="session")
def modernbert_checkpoint(checkpoints):
    """A PyLate checkpoint over ModernBERT: byte-level BPE, two Dense layers, 16 dimensions, no query expansion."""
    from tests.checkpoints import modernbert

    return modernbert(checkpoints / "modernbert")


@pytest.fixture(scope="session")
def modernbert_expansion_checkpoint(checkpoints):
    """As ``modernbert_checkpoint``, with queries expanded to 48 tokens."""
    from tests.checkpoints import modernbert

    return modernbert(checkpoints / "modernbert-expansion", expansion=True)


@pytest.fixture(scope="session")
def minilm():
    """The offline encoder, with real weights."""
    from late_interaction import load_encoder

    return load_encoder("minilm")


@pytest.fixture
def word_encoder():
    """A fast fake with real behaviour: equal words match."""
    return WordEncoder()


@pytest.fixture
def colour_encoder():
    """A fast fake that reads pages, and text too: colours match their words."""
    return ColourEncoder()


@pytest.fixture
def report(tmp_path):
    """A PDF of three pages: a table, then a red and a blue bar, then a green one on a page that lies on its side."""
    from tests.pdfs import Page, box, table, text, write_pdf

    rows = [["region", "revenue"], ["north", "12"], ["south", "30"]]
    return write_pdf(
        tmp_path / "report.pdf",
        [
            Page(text("Revenue by region") + table(rows)),
            Page(text("Rain in spring") + box(100, 100, 100, 100, (1, 0, 0)) + box(400, 600, 80, 150, (0, 0, 1))),
            Page(text("Forests") + box(20, 20, 100, 50, (0, 0.63, 0)), rotation=90),
        ],
    )
