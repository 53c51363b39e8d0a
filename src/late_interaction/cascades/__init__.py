"""Several rankers in turn, each of which keeps fewer candidates."""

from __future__ import annotations

from late_interaction.cascades.cascade import Cascade
from late_interaction.cascades.parsing import parse_stages
from late_interaction.cascades.report import StagedHits, StageReport

__all__ = ["Cascade", "StageReport", "StagedHits", "parse_stages"]
