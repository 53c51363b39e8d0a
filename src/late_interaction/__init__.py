"""Late-interaction retrieval (ColBERT, ColPali) for LangChain and LlamaIndex over one local, updatable index."""

__version__ = "0.1.0"
