"""What single pages say of the source is so."""

from __future__ import annotations

import re
from typing import Final

import kinesink
from kinesink import testing
from kinesink.core import retry_policy
from kinesink.event.parts import FIELDS
from tests.docs import parameters
from tests.docs.blocks import ROOT, in_language

DOCS: Final = ROOT / "docs"


def text_of(name: str) -> str:
    """Return a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_parameters_are_those_of_the_source() -> None:
    """To mend: python tests/docs/parameters.py."""
    assert parameters.PAGE.read_text(encoding="utf-8") == parameters.page()


def test_every_public_name_is_in_the_programming_interface() -> None:
    """And nothing else; the names of the test kit come from its module."""
    documented = set(re.findall(r"^\.\. auto\w+:: (\w+)$", text_of("api.md"), re.MULTILINE))
    assert documented == set(dir(kinesink)) - {"__version__"}
    assert f".. automodule:: {testing.__name__}" in text_of("api.md")


def test_every_page_is_in_the_index_that_people_read() -> None:
    """On a code host there is no menu."""
    linked = set(re.findall(r"\]\(([\w-]+)\.md\)", text_of("index.md")))
    assert linked == {path.stem for path in DOCS.glob("*.md")} - {"index"}


def test_every_reason_for_a_drop_leads_somewhere() -> None:
    """In the table of what to do."""
    table = text_of("troubleshooting.md").partition("## 2.")[2].partition("## 3.")[0]
    reasons = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(reasons) == sorted(reason.value for reason in kinesink.DropReason)


def test_errors_that_have_advice_are_those_of_the_service_or_ours() -> None:
    """A code that nobody knows is a transient error, and needs no person."""
    table = text_of("troubleshooting.md").partition("## 3.")[2].partition("## 4.")[0]
    codes = re.findall(r"`([A-Z]\w+)`", "".join(re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE)))
    known = {code for codes, _ in retry_policy._ADVICE for code in codes}
    assert len(codes) > 10
    assert set(codes) <= known | retry_policy.THROTTLE_CODES


def test_the_table_for_athena_has_the_fields_of_the_default_schema() -> None:
    """In the order in which they stand in a line; those of one door alone may be left out."""
    (block,) = (each for each in in_language("sql") if "CREATE EXTERNAL TABLE" in each.text)
    columns = re.findall(r"^ +`(\w+)` ", block.text, re.MULTILINE)
    assert len(columns) > 20
    assert columns == [name for name in FIELDS if name in columns]
