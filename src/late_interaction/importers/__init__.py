"""Import indexes of other tools without encoding again."""

from late_interaction.importers.importing import import_index
from late_interaction.importers.report import ImportReport

__all__ = ["ImportReport", "import_index"]
