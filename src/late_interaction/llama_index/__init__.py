"""LlamaIndex: an index, a vector store, a retriever and a reranker over an `Index`.

All four are thin: they translate names and call the index, which may be shared between them and between threads.
Async calls run in a thread, so the event loop is never blocked.

`late_interaction.langchain` has a `LateInteractionRetriever` too; its docstring shows how to use both.
"""

from late_interaction.optional import require

require("llama_index.core", package="llama-index-core", feature="late_interaction.llama_index", extra="llama-index")

from late_interaction.llama_index.indices import LateInteractionIndex  # noqa: E402
from late_interaction.llama_index.postprocessor import LateInteractionRerank  # noqa: E402
from late_interaction.llama_index.retrievers import LateInteractionRetriever  # noqa: E402
from late_interaction.llama_index.vector_store import LateInteractionVectorStore  # noqa: E402

__all__ = [
    "LateInteractionIndex",
    "LateInteractionRerank",
    "LateInteractionRetriever",
    "LateInteractionVectorStore",
]
