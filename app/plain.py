"""Words of others on a page as they are: Streamlit reads what it shows as Markdown."""

import re

_PUNCTUATION = re.compile(r"[\\`*_\[\]<>#|~$:&!]")
_FIRST = re.compile(r"^(\d*)([-+.)])(?=[\s-]|$)")
_LINK = re.compile(
    r"(?i)https?:(?=//)|www(?=\.)|(?<=[-.\w+])@(?=[-\w]+\.[-\w])|:(?=(?:material/|streamlit:))"
)
_JOINER = "\N{WORD JOINER}"


def as_text(words: str) -> str:
    """Return Markdown that shows words as they are: no link, picture, formula, colour or icon.

    Everything from a URL, an atlas, a file or a user goes through this before it is shown. A
    backslash does not keep Streamlit from making links of bare addresses, so they get a character
    inside that takes no room.

    Args:
        words: Of anybody; line ends become spaces.
    """
    line = _LINK.sub(lambda found: found[0] + _JOINER, " ".join(words.split()))
    return _FIRST.sub(r"\1\\\2", _PUNCTUATION.sub(r"\\\g<0>", line))
