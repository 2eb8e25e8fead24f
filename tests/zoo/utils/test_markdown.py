from __future__ import annotations

import pytest

from zoo.utils.markdown import block, code, plain, without_comments


@pytest.mark.parametrize(
    "text", ["zero", "T-shirt/top", "MIT", "CC-BY-4.0", "fashion_mnist", "Iris setosa", "3.5 mm", "a (b)", "été", "C&A"]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("[x](javascript:y)", r"\[x\](javascript:y)"),
        ("![x](y)", r"!\[x\](y)"),
        ("**bold** _it_ `c`", r"\*\*bold\*\* \_it\_ \`c\`"),
        ("a | b", r"a \| b"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("# title", r"\# title"),
        ("1. item", r"1\. item"),
        ("a\n\n# b", "a # b"),
        ("http://evil.example", r"http:\//evil.example"),
        ("@someone", "&#64;someone"),
        ("\x1b[31m", r"\\x1b\[31m"),
        ("a\\", r"a\\"),
        ("$x$", r"\$x\$"),
    ],
)
def test_text_from_outside_stays_text(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(("text", "shown"), [("a", "`a`"), ("a`b", "`` a`b ``"), ("a|b", "`a\\|b`"), ("a\nb", "`a b`")])
def test_code_is_one_line_that_the_text_cannot_end(text: str, shown: str) -> None:
    assert code(text) == shown


def test_a_block_is_not_ended_by_its_text() -> None:
    assert block("a: 1", "yaml") == "```yaml\na: 1\n```"
    assert block("x\n````\n<b>\x1b") == "`````\nx\n````\n<b>\\x1b\n`````"


def test_no_comment_starts_in_a_card() -> None:
    assert without_comments("a <!-- begin: notes --> <b>") == "a &lt;!-- begin: notes --> <b>"
