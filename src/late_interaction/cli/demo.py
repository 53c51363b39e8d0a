"""The demo: search the Python language reference through LangChain and LlamaIndex, offline."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.text import Text

from late_interaction.cli.terminal import show_hit
from late_interaction.index import Index
from late_interaction.optional import require
from late_interaction.readers import split_document

if TYPE_CHECKING:
    from rich.console import Console

    from late_interaction.documents import Document

__all__ = ["QUESTIONS", "language_reference", "run"]

QUESTIONS = (
    "How do I make sure a file is closed even if an error happens?",
    "What is the difference between yield and return?",
    "Why can a default argument keep its value between calls?",
)


def language_reference() -> list[Document]:
    """Return the passages of the language reference that CPython includes for ``help()``."""
    return [
        document
        for topic, body in sorted(topics.items())
        for document in split_document(body, source=topic, suffix=".rst")
    ]


def run(console: Console) -> None:
    """Index the language reference in a temporary directory and query it through both frameworks."""
    for module, package, extra in (
        ("langchain_core", "langchain-core", "langchain"),
        ("llama_index.core", "llama-index-core", "llama-index"),
    ):
        require(module, package=package, feature="The demo", extra=extra)

    with TemporaryDirectory() as folder, Index.open(Path(folder) / "index", encoder="minilm") as index:
        documents = language_reference()
        console.print(Text(f"The Python language reference: {len(documents)} passages on {len(topics)} topics."))
        index.add(documents, progress=True)
        info = index.info()
        console.print(Text(f"Indexed {info['tokens']:,} token vectors in {info['vector_bytes'] / 1e6:.0f} MB.\n"))
        _ask_langchain(console, index)
        _ask_llama_index(console, index)


def _ask_langchain(console: Console, index: Index) -> None:
    from late_interaction.langchain import LateInteractionRetriever

    console.rule("LangChain: LateInteractionRetriever")
    retriever = LateInteractionRetriever(index=index, k=2)
    for question in QUESTIONS:
        console.print(Text(f"\n{question}", "bold"))
        _show(console, index, question, [str(document.id) for document in retriever.invoke(question)])


def _ask_llama_index(console: Console, index: Index) -> None:
    from llama_index.core.llms import MockLLM

    from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank

    console.rule("LlamaIndex: query engine (hybrid first stage, late-interaction rerank, MockLLM)")
    engine = LateInteractionIndex(index=index).as_query_engine(
        llm=MockLLM(max_tokens=16),
        mode="hybrid",
        similarity_top_k=10,
        node_postprocessors=[LateInteractionRerank(index=index, top_n=1)],
    )
    for question in QUESTIONS:
        console.print(Text(f"\n{question}", "bold"))
        _show(console, index, question, [node.node.node_id for node in engine.query(question).source_nodes])


def _show(console: Console, index: Index, question: str, ids: list[str]) -> None:
    for hit in index.rerank(question, ids=ids):
        show_hit(console, hit, index.explain(question, hit.id))
