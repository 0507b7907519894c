"""In which of Facebook's locales captions are: a language and a country, such as ``en_US``. Pure.

Source: developers.facebook.com/docs/graph-api/reference/video/captions ("default_locale"), and the
list of locales in developers.facebook.com/docs/internationalization, 2026-11.
"""

from __future__ import annotations

import re

# WebVTT itself has no field for it; this line is what those who write one use.
_LANGUAGE = re.compile(r"^Language: ?([A-Za-z]{2,3})(?:[-_]([A-Za-z]{2}))?\s*$", re.MULTILINE)
# Where the captions name no country.
_USUAL = {
    "ar": "AR", "cs": "CZ", "da": "DK", "de": "DE", "el": "GR", "en": "US", "es": "LA",
    "fi": "FI", "fr": "FR", "he": "IL", "hi": "IN", "hu": "HU", "id": "ID", "it": "IT",
    "ja": "JP", "ko": "KR", "nb": "NO", "nl": "NL", "pl": "PL", "pt": "BR", "ro": "RO",
    "ru": "RU", "sv": "SE", "th": "TH", "tr": "TR", "uk": "UA", "vi": "VN", "zh": "CN",
}  # fmt: skip


def locale_of(captions: str) -> str | None:
    """``captions``: WebVTT. English unless they say otherwise, as for YouTube; None for a language
    of which no country is known: a wrong one would be shown to the wrong people."""
    found = _LANGUAGE.search(captions.replace("\r\n", "\n").partition("\n\n")[0])
    language, country = (found[1].lower(), found[2]) if found else ("en", None)
    country = country.upper() if country else _USUAL.get(language)
    return f"{language}_{country}" if country else None
