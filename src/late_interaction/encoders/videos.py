"""Processors of models that also watch videos, loaded without that part where torchvision is missing.

transformers makes what prepares videos of torchvision alone, and refuses the whole processor without it; images need
Pillow and nothing more.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["without_videos"]


@contextmanager
def without_videos() -> Iterator[None]:
    """Inside, transformers' processors have a placeholder for videos. For where torchvision is missing.

    It changes transformers for the whole process: whoever else loads a processor meanwhile, and needs its part for
    videos, would have got an error.
    """
    from transformers.image_processing_base import ImageProcessingMixin
    from transformers.models.auto.video_processing_auto import AutoVideoProcessor
    from transformers.processing_utils import ProcessorMixin

    class NoVideos(ImageProcessingMixin):
        """Stands where the part for videos would; of this base, a processor can still be written down."""

    original_check: Any = ProcessorMixin.check_argument_for_proper_class  # transformers carries no annotations

    def check(self: Any, name: str, argument: Any) -> Any:
        return NoVideos if isinstance(argument, NoVideos) else original_check(self, name, argument)

    make: Any = NoVideos
    load = classmethod(lambda *_, **__: make())
    with (
        patch.object(AutoVideoProcessor, "from_pretrained", load),
        patch.object(ProcessorMixin, "check_argument_for_proper_class", check),
    ):
        yield
