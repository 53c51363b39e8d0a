"""The catalog: the SQLite database that names everything the index holds."""
