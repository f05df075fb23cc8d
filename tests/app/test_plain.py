import pytest

from app.plain import as_text


@pytest.mark.parametrize(
    ("words", "markdown"),
    [
        ("no unit, 'x'; give (a) 1.5 / 2%?", "no unit, 'x'; give (a) 1.5 / 2%?"),
        ("![x](https://e.org/a.png)", "\\!\\[x\\](https\\:\N{WORD JOINER}//e.org/a.png)"),
        ("0.5*fire4:5 + 0.5*fire4:9", "0.5\\*fire4\\:5 + 0.5\\*fire4\\:9"),
        (":red[now] $x$ `c` ~~d~~", "\\:red\\[now\\] \\$x\\$ \\`c\\` \\~\\~d\\~\\~"),
        ("<b>&lt;|_a_ \\*", "\\<b\\>\\&lt;\\|\\_a\\_ \\\\\\*"),
        ("# head\n\n    code", "\\# head code"),
        ("- one", "\\- one"),
        ("1. one", "1\\. one"),
        ("www.e.org, me@e.org", "www\N{WORD JOINER}.e.org, me@\N{WORD JOINER}e.org"),
        ("a:5@7,9", "a\\:5@7,9"),
        (":material/key: :smile:", "\\:\N{WORD JOINER}material/key\\: \\:smile\\:"),
    ],
)  # fmt: skip
def test_words_become_markdown_that_shows_them(words: str, markdown: str) -> None:
    assert as_text(words) == markdown
