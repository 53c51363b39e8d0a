"""Load processors of models that also accept video, without their video part, if torchvision is not installed.

The video processors of transformers need torchvision, and without it the whole processor fails to load. Images need
only Pillow.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["without_videos"]


@contextmanager
def without_videos() -> Iterator[None]:
    """Let transformers load processors inside the block with a placeholder for the video part.

    This changes transformers for the whole process. Another thread that loads a processor meanwhile gets the
    placeholder too, where without torchvision it would get an error.
    """
    from unittest.mock import patch

    from transformers.image_processing_base import ImageProcessingMixin
    from transformers.models.auto.video_processing_auto import AutoVideoProcessor
    from transformers.processing_utils import ProcessorMixin

    class NoVideos(ImageProcessingMixin):
        """Placeholder for the video processor. The base class allows the whole processor to be saved."""

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
