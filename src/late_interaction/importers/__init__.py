"""Import indexes of other tools without encoding again."""
