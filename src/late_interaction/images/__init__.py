"""Page images: where they are kept, how they are read, and how they come back. Nothing here knows of an encoder."""

from late_interaction.images.page_image import PageImage

__all__ = ["PageImage"]
