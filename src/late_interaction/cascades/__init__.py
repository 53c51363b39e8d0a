"""Several rankers in turn, each of which keeps fewer candidates."""
