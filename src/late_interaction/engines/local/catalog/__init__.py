"""The catalog: the SQLite database that defines what the index contains."""
