"""Builds tiny random checkpoints of page-image models in the formats that are published, without a network.

Each builder fills a folder and returns it, as in ``tests.checkpoints``. The image processors are those made of Pillow
and numpy, so no torchvision is needed. Tokenizers are byte-level BPE without a single merge: every byte is a token.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Normalize
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    ColModernVBertConfig,
    ColModernVBertForRetrieval,
    ColModernVBertProcessor,
    ColPaliConfig,
    ColPaliForRetrieval,
    ColPaliProcessor,
    ColQwen2Config,
    ColQwen2ForRetrieval,
    ColQwen2Processor,
    GemmaConfig,
    Idefics3Processor,
    ModernBertConfig,
    ModernVBertConfig,
    ModernVBertModel,
    PaliGemmaConfig,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    SiglipVisionConfig,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from late_interaction.encoders.videos import without_videos

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIM = 16
HIDDEN = 32
_SPREAD = 0.2  # wide enough that every patch has a vector of its own
_HALF = [0.5, 0.5, 0.5]


def colpali(folder: Path, *, seed: int = 0, side: int = 56) -> Path:
    """ColPali: every image is brought to a square of ``side`` pixels and cut into patches of 14."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<image>"]
    tokenizer = byte_tokenizer(
        special,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        padding_side="right",
        extra_special_tokens={"image_token": "<image>"},
    )
    images = SiglipImageProcessorPil(size={"height": side, "width": side}, image_mean=_HALF, image_std=_HALF)
    images.image_seq_length = (side // 14) ** 2
    processor = ColPaliProcessor(image_processor=images, tokenizer=tokenizer)  # adds tokens of its own
    config = ColPaliConfig(vlm_config=paligemma_config(tokenizer, side), embedding_dim=DIM)
    return _saved(folder, ColPaliForRetrieval(config), processor, seed)


def paligemma_config(tokenizer: PreTrainedTokenizerFast, side: int) -> PaliGemmaConfig:
    """PaliGemma of one layer in each tower."""
    vision = SiglipVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=side,
        patch_size=14,
        projection_dim=HIDDEN,
    )
    text = GemmaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return PaliGemmaConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=HIDDEN,
        hidden_size=HIDDEN,
        pad_token_id=tokenizer.pad_token_id,
    )


def colqwen2(folder: Path, *, seed: int = 0, most: int = 16) -> Path:
    """ColQwen2: images keep their shape and become 4 to ``most`` tokens of 28 x 28 pixels; pads on the left."""
    special = [
        f"<|{name}|>" for name in ("endoftext", "im_start", "im_end", "vision_start", "vision_end", "vision_pad")
    ]
    special += ["<|image_pad|>", "<|video_pad|>"]
    tokenizer = byte_tokenizer(special, pad_token="<|endoftext|>", eos_token="<|im_end|>", padding_side="left")
    ids = {token.strip("<|>"): tokenizer.convert_tokens_to_ids(token) for token in special}
    token = 28 * 28
    images = Qwen2VLImageProcessorPil(
        size={"shortest_edge": 4 * token, "longest_edge": most * token}, patch_size=14, merge_size=2
    )
    processor = ColQwen2Processor(image_processor=images, tokenizer=tokenizer)
    backbone = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": HIDDEN,
            "intermediate_size": 2 * HIDDEN,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]},
            "bos_token_id": ids["endoftext"],
            "eos_token_id": ids["im_end"],
            "pad_token_id": ids["endoftext"],
        },
        vision_config={
            "depth": 1,
            "embed_dim": HIDDEN,
            "hidden_size": HIDDEN,
            "mlp_ratio": 2,
            "num_heads": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    model = ColQwen2ForRetrieval(ColQwen2Config(vlm_config=backbone, embedding_dim=DIM))
    return _saved(folder, model, processor, seed)


def colmodernvbert(folder: Path, *, seed: int = 0, longest: int = 128) -> Path:
    """ColModernVBert: the longer side becomes ``longest`` pixels; tiles of 64 are 2 x 2 tokens, as is the whole."""
    tokenizer = modernvbert_tokenizer()
    processor = ColModernVBertProcessor(modernvbert_images(longest), tokenizer=tokenizer, image_seq_len=4)
    config = ColModernVBertConfig(vlm_config=modernvbert_config(tokenizer), embedding_dim=DIM)
    return _saved(folder, ColModernVBertForRetrieval(config), processor, seed)


_TEMPLATE = """{%- for message in messages -%}{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<|begin_of_text|>User:<image>Describe the image.<end_of_utterance>
Assistant:{%- else -%}<|begin_of_text|>{{ 'Query' if task == 'query' else 'Passage' }}: {{ part['text'] }}{{
'<end_of_utterance>' * 10 if task == 'query' else '' }}{%- endif -%}{%- endfor -%}{%- endfor -%}"""


_QWEN_TEMPLATE = """{%- for message in messages -%}{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<|im_start|>user
<|vision_start|><|image_pad|><|vision_end|>Describe the image.<|im_end|><|endoftext|>{%- else -%}
{{ 'Query' if task == 'query' else 'Passage' }}: {{ part['text'] }}{{
'<|endoftext|>' * 10 + '\\n' if task == 'query' else '' }}{%- endif -%}{%- endfor -%}{%- endfor -%}"""


def packaged_modernvbert(folder: Path, *, seed: int = 0, longest: int = 128, only_images: bool = False) -> Path:
    """A page model as sentence-transformers packages it: ModernVBert, a chat template, Dense, mask and Normalize.

    It reads text as documents too. ``only_images`` has the mask keep image tokens alone, of queries as well.
    """
    tokenizer = modernvbert_tokenizer()
    tokenizer.chat_template = _TEMPLATE
    processor = Idefics3Processor(modernvbert_images(longest), tokenizer, image_seq_len=4, chat_template=_TEMPLATE)
    body = folder / "body"
    _saved(body, ModernVBertModel(modernvbert_config(tokenizer)), processor, seed)
    dense = Dense(
        HIDDEN,
        DIM,
        bias=False,
        activation_function=torch.nn.Identity(),
        module_input_name="token_embeddings",
        module_output_name="token_embeddings",
    )
    modules = [
        Transformer(str(body)),
        randomised(dense, seed + 1),
        MultiVectorMask(keep_only_token_ids=[processor.image_token_id] if only_images else None),
        Normalize(module_input_name="token_embeddings"),
    ]
    MultiVectorEncoder(modules=modules, device="cpu").save_pretrained(str(folder))
    shutil.rmtree(body)
    return folder


def packaged_qwen2(folder: Path, *, seed: int = 0, most: int = 16) -> Path:
    """`colqwen2`, of the same weights and prompts, as sentence-transformers packages it and ColQwen2.5 and its kin."""
    native = colqwen2(folder / "native", seed=seed, most=most)
    model = ColQwen2ForRetrieval.from_pretrained(native)
    body = folder / "body"
    model.vlm.save_pretrained(body)
    processor = ColQwen2Processor.from_pretrained(native, backend="pil")
    processor.tokenizer.chat_template = _QWEN_TEMPLATE
    processor.save_pretrained(body)
    # What the hub's files say: without torchvision transformers cannot make such a processor, so it cannot save one.
    videos = {"video_processor": {"video_processor_type": "Qwen2VLVideoProcessor"}}
    _edit(body / "processor_config.json", lambda data: {**data, **videos, "processor_class": "Qwen2VLProcessor"})
    with without_videos():
        transformer = Transformer(str(body))
    projection = model.embedding_proj_layer
    dense = Dense(
        projection.in_features,
        projection.out_features,
        activation_function=torch.nn.Identity(),
        module_input_name="token_embeddings",
        module_output_name="token_embeddings",
    )
    dense.linear.load_state_dict(projection.state_dict())
    modules = [transformer, dense, MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    MultiVectorEncoder(modules=modules, device="cpu").save_pretrained(str(folder))
    _edit(folder / "processor_config.json", lambda data: {**data, **videos})
    shutil.rmtree(body)
    shutil.rmtree(native)
    return folder


def modernvbert_tokenizer() -> PreTrainedTokenizerFast:
    """The special tokens of ModernVBert over bytes."""
    names = ("unk", "cls", "sep", "pad", "mask")
    special = [f"[{name.upper()}]" for name in names]
    special += ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", "<|begin_of_text|>"]
    special += [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    tokens = {f"{name}_token": f"[{name.upper()}]" for name in names}
    return byte_tokenizer(special, padding_side="right", model_max_length=8192, **tokens)


def modernvbert_images(longest: int) -> Idefics3ImageProcessorPil:
    """Tiles of 64 pixels."""
    return Idefics3ImageProcessorPil(
        size={"longest_edge": longest}, max_image_size={"longest_edge": 64}, image_mean=_HALF, image_std=_HALF
    )


def modernvbert_config(tokenizer: PreTrainedTokenizerFast) -> ModernVBertConfig:
    """ModernVBert with patches of 16 pixels, of which 2 x 2 become a token."""
    text = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2048,
        local_attention=16,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
    )
    vision = SiglipVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
    )
    return ModernVBertConfig(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pixel_shuffle_factor=2,
    )


def byte_tokenizer(special: list[str], **settings: object) -> PreTrainedTokenizerFast:
    """Byte-level BPE without merges: the special tokens, then one token for each byte."""
    tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: at for at, token in enumerate(tokens)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)


def randomised(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """The model with weights that are the same on every machine."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0, _SPREAD, generator=generator)
    return model.eval()


def _edit(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")


def _saved(folder: Path, model: torch.nn.Module, processor: object, seed: int) -> Path:
    randomised(model, seed).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
