"""An index behind MTEB's search protocol."""
