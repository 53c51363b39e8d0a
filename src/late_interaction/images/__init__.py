"""Page images: references to files, thumbnails, and reading image files and PDFs. Independent of the encoders."""

from late_interaction.images.page_image import PageImage

__all__ = ["PageImage"]
