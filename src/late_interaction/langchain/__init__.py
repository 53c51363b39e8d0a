"""LangChain: a vector store, a retriever and a reranker over an `Index`.

All three are thin: they translate names and call the index, which may be shared between them and between threads.
Async calls run in a thread, so the event loop is never blocked.

`late_interaction.llama_index` has a `LateInteractionRetriever` too. To use both, import the modules::

    from late_interaction import langchain as late_langchain, llama_index as late_llama_index

    late_langchain.LateInteractionRetriever(index=index)
    late_llama_index.LateInteractionRetriever(index=index)
"""

from late_interaction.optional import require

require("langchain_core", package="langchain-core", feature="late_interaction.langchain", extra="langchain")

from late_interaction.langchain.document_compressors import LateInteractionReranker  # noqa: E402
from late_interaction.langchain.documents import image_block  # noqa: E402
from late_interaction.langchain.retrievers import LateInteractionRetriever  # noqa: E402
from late_interaction.langchain.structured_query import LateInteractionTranslator  # noqa: E402
from late_interaction.langchain.vectorstores import LateInteractionVectorStore  # noqa: E402

__all__ = [
    "LateInteractionReranker",
    "LateInteractionRetriever",
    "LateInteractionTranslator",
    "LateInteractionVectorStore",
    "image_block",
]
