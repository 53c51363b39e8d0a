"""Turn texts and queries into the words of lexical search, in every script."""

from late_interaction.words.stems import DEFAULT_LANGUAGE, LANGUAGES, check_language
from late_interaction.words.tokenizer import Clause, Tokenizer, tokenizer_for

__all__ = ["DEFAULT_LANGUAGE", "LANGUAGES", "Clause", "Tokenizer", "check_language", "tokenizer_for"]
