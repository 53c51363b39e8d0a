"""Late-interaction (ColBERT) retrieval for LangChain and LlamaIndex over one local, updatable index."""

from late_interaction.cascades import Cascade
from late_interaction.documents import Document, Hit
from late_interaction.encoders import load_encoder
from late_interaction.index import Index

__all__ = ["Cascade", "Document", "Hit", "Index", "load_encoder"]
__version__ = "0.1.0"
