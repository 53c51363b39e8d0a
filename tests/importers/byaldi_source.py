"""Writes an index as byaldi 0.0.7 does, whose functions cannot run here: they need its models.

Each line that decides the layout is that of a function of ``byaldi/colpali.py``, named beside it.
"""

from __future__ import annotations

import base64
import gzip
import io
import json

import torch


def write_gzip_json(path, values):
    """As `srsly.write_gzip_json`: JSON with two spaces of indentation, in UTF-8; keys become strings."""
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write(json.dumps(values, indent=2))


class Byaldi:
    """The state of `ColPaliModel` that it exports.

    Args:
        store_images: ``store_collection_with_index``.
    """

    def __init__(self, store_images=False, model_name="vidore/colqwen2-v1.0"):
        self.model_name = model_name
        self.full_document_collection = store_images
        self.collection, self.embed_id_to_doc_id = {}, {}
        self.doc_id_to_metadata, self.doc_ids_to_file_names = {}, {}
        self.indexed_embeddings = []

    def add(self, doc_id, page_id, embedding, *, image=None, metadata=None, name="In-memory Image"):
        """As `ColPaliModel._add_to_index` with the embedding of one page, (tokens, dim)."""
        batch = torch.as_tensor(embedding)[None]  # what the model returns for `process_images([image])`
        embed_id = len(self.indexed_embeddings)
        self.indexed_embeddings.extend(list(torch.unbind(batch.to("cpu"))))
        self.embed_id_to_doc_id[embed_id] = {"doc_id": doc_id, "page_id": int(page_id)}
        if image is not None:
            buffered = io.BytesIO()
            image.save(buffered, format="PNG")
            self.collection[int(embed_id)] = base64.b64encode(buffered.getvalue()).decode()
        if metadata:
            self.doc_id_to_metadata[doc_id] = metadata
        self.doc_ids_to_file_names[doc_id] = name  # in `add_to_index`

    def export(self, folder, chunk=500):
        """As `ColPaliModel._export_index`, whose chunks have 500 pages."""
        (folder / "embeddings").mkdir(parents=True)
        for i in range(0, len(self.indexed_embeddings), chunk):
            torch.save(self.indexed_embeddings[i : i + chunk], folder / "embeddings" / f"embeddings_{i}.pt")
        config = {
            "model_name": self.model_name,
            "full_document_collection": self.full_document_collection,
            "highest_doc_id": max(self.doc_ids_to_file_names, default=-1),
            "resize_stored_images": False,
            "max_image_width": None,
            "max_image_height": None,
            "library_version": "0.0.7",
        }
        write_gzip_json(folder / "index_config.json.gz", config)
        write_gzip_json(folder / "embed_id_to_doc_id.json.gz", self.embed_id_to_doc_id)
        write_gzip_json(folder / "doc_ids_to_file_names.json.gz", self.doc_ids_to_file_names)
        write_gzip_json(folder / "metadata.json.gz", self.doc_id_to_metadata)
        if self.full_document_collection:
            (folder / "collection").mkdir()
            for i in range(0, len(self.collection), chunk):
                write_gzip_json(
                    folder / "collection" / f"{i}.json.gz", dict(list(self.collection.items())[i : i + chunk])
                )
        return folder
