"""Page models spelled out: one input at a time, prompts and positions written down here, plain modules of transformers.

Nothing here comes from sentence-transformers, from the package under test, or from the ``process_*`` and ``forward``
methods of the ``*ForRetrieval`` classes, which lose positions and prompts. Image processors are the library's.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoImageProcessor

QWEN_PROMPT = "<|im_start|>user\n<|vision_start|>{}<|vision_end|>Describe the image.<|im_end|><|endoftext|>"


class PageOracle:
    """Encodes with the checkpoint in ``folder``."""

    before_query = ""
    image_token = "<image>"

    def __init__(self, folder):
        folder = Path(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.image_processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.load(folder)

    def load(self, folder):
        architecture = json.loads((folder / "config.json").read_text("utf-8"))["architectures"][0]
        model = getattr(transformers, architecture).from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32
        )
        self.body = model.eval().vlm
        head = load_file(folder / "model.safetensors")
        self.head = head["embedding_proj_layer.weight"], head["embedding_proj_layer.bias"]

    def query(self, text):
        """Token vectors of a query, (tokens, dim)."""
        return self.run(self.ids(self.query_text(text.strip())))

    def query_pieces(self, text):
        """For each token of a query the characters of the stripped query in it; empty for the prompt."""
        stripped = text.strip()
        first = len(self.before_query)
        encoding = self.tokenizer.encode(self.query_text(stripped), add_special_tokens=False)
        return [stripped[max(start - first, 0) : max(end - first, 0)] for start, end in encoding.offsets]

    def image(self, image):
        """Vectors of an image in RGB, (vectors, dim)."""
        ids, inputs = self.read_image(image)
        return self.run(ids, **inputs)

    def image_tokens(self, image):
        """Which vectors of an image stand for patches."""
        ids, _ = self.read_image(image)
        return np.array(ids) == self.tokenizer.token_to_id(self.image_token)

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def run(self, ids, **inputs):
        with torch.inference_mode():
            states = self.body(input_ids=torch.tensor([ids]), **self.settings(ids, **inputs)).last_hidden_state[0]
        weight, bias = (part.numpy().astype(np.float64) for part in self.head)
        vectors = states.numpy().astype(np.float64) @ weight.T + bias
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def settings(self, ids, **inputs):
        return inputs


class ColPali(PageOracle):
    """PaliGemma: every token sees every other."""

    before_query = "<bos>Question: "

    def query_text(self, text):
        return f"<bos>Question: {text}{'<pad>' * 10}\n"

    def read_image(self, image):
        pixels = self.image_processor([image], return_tensors="pt")["pixel_values"]
        patches = (pixels.shape[-1] // 14) * (pixels.shape[-2] // 14)
        return self.ids(f"{'<image>' * patches}<bos>Describe the image.\n"), {"pixel_values": pixels}

    def settings(self, ids, **inputs):
        return {"token_type_ids": torch.zeros(1, len(ids), dtype=torch.long), **inputs}


class ColQwen2(PageOracle):
    """Qwen2-VL: a patch has the position of its row and column, and the text goes on after the greatest of them."""

    before_query = "Query: "
    image_token = "<|image_pad|>"

    def query_text(self, text):
        return f"Query: {text}{'<|endoftext|>' * 10}\n"

    def read_image(self, image):
        seen = self.image_processor([image], return_tensors="pt")
        _, rows, columns = (seen["image_grid_thw"][0] // torch.tensor([1, 2, 2])).tolist()
        ids = self.ids(QWEN_PROMPT.format("<|image_pad|>" * (rows * columns)))
        begin = ids.index(self.tokenizer.token_to_id("<|image_pad|>"))
        positions = [(at, at, at) for at in range(begin)]
        positions += [(begin, begin + row, begin + column) for row in range(rows) for column in range(columns)]
        after = begin + max(rows, columns)
        positions += [(at, at, at) for at in range(after, after + len(ids) - len(positions))]
        return ids, {**seen, "position_ids": torch.tensor(positions).T[:, None]}


class ColModernVBert(PageOracle):
    """ModernVBert: tiles named by row and column, then the whole image."""

    def query_text(self, text):
        return f"{text}{'<end_of_utterance>' * 10}"

    def read_image(self, image):
        seen = self.image_processor([[image]], return_tensors="pt", return_row_col_info=True)
        [[rows]], [[columns]] = seen["rows"], seen["cols"]
        patches = "<image>" * 4
        tiles = ""
        for row in range(1, rows + 1):
            for column in range(1, columns + 1):
                tiles += f"<fake_token_around_image><row_{row}_col_{column}>{patches}"
            tiles += "\n"
        tiles += "\n" if rows else ""
        tiles += f"<fake_token_around_image><global-img>{patches}<fake_token_around_image>"
        text = f"<|begin_of_text|>User:{tiles}Describe the image.<end_of_utterance>\nAssistant:"
        return self.ids(text), {"pixel_values": seen["pixel_values"]}


class Packaged(ColModernVBert):
    """ModernVBert as ``packaged_modernvbert`` makes it: other prompts for text, a projection in a folder of its own."""

    before_query = "<|begin_of_text|>Query: "

    def load(self, folder):
        self.body = transformers.ModernVBertModel.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float32
        ).eval()
        weight = load_file(folder / "1_Dense" / "model.safetensors")["linear.weight"]
        self.head = weight, torch.zeros(len(weight))

    def query_text(self, text):
        return f"<|begin_of_text|>Query: {text}{'<end_of_utterance>' * 10}"

    def document(self, text):
        """Token vectors of a passage."""
        return self.run(self.ids(f"<|begin_of_text|>Passage: {text.strip()}"))
