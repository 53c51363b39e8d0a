"""Read test collections and runs: queries, judgments, documents and rankings in the formats that users have."""
