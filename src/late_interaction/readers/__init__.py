"""Read files and folders of text, Markdown, reStructuredText, HTML, PDF and images into documents."""

from late_interaction.readers.counting import expected_documents
from late_interaction.readers.documents import split_document
from late_interaction.readers.passages import split_text
from late_interaction.readers.paths import read_paths

__all__ = ["expected_documents", "read_paths", "split_document", "split_text"]
