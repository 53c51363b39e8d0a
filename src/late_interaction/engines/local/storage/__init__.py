"""Files of an index: columns and segments, names, durability and the writer lock."""
