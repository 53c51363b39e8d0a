"""Read text, Markdown, reStructuredText, HTML, notebooks, tables, PDFs, images and JSONL into documents."""

from late_interaction.readers.counting import expected_documents
from late_interaction.readers.documents import split_document
from late_interaction.readers.jsonl import read_jsonl
from late_interaction.readers.passages import split_text
from late_interaction.readers.paths import read_paths

__all__ = ["expected_documents", "read_jsonl", "read_paths", "split_document", "split_text"]
