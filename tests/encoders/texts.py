"""Texts that have broken encoders, and what the tests do with them."""

from __future__ import annotations

TEXTS = {
    "plain": "What is late interaction, and why does it work?",
    "one word": "maxsim",
    "empty": "",
    "white space": " \t\n ",
    "Chinese": "机器学习 是 什么?东京タワー",
    "punctuation": "?!... --- (;) [ ] ' \"",
    "too long": "the quick brown fox, jumped over; the lazy dog. " * 60,
    "mask in text": "the capital of France is [MASK] .",
    "other special tokens": "[SEP] a [PAD] b [CLS] c",
    "marker in text": "[Q] already",
    "padded": "   padded   inside and out   ",
    "accents": "ÀÉÎÕÜ ÇA Straße İstanbul NAÏVE cafe\N{COMBINING ACUTE ACCENT} RÉSUMÉ",
    "emoji": "thumbs 👍🏽 up 👩‍💻 \N{SNOWMAN}!",
    "lines": "\tdef f(x):\r\n\t\treturn x\n\n\n# end",
    "invisible": "zero\u200bwidth\u00a0no-break\u3000ideographic \x00nul \ufeffbom",
    "unknown script": "ᚠᛇᚻ ᛒᛦᚦ and Привет мир",
    "a word without end": "z" * 3000,
}
