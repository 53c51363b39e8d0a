"""Move the documents of one engine to another, with their vectors."""

from late_interaction.transferring.report import TransferReport, source_statements, target_statements
from late_interaction.transferring.transfers import transfer

__all__ = ["TransferReport", "source_statements", "target_statements", "transfer"]
