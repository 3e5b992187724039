"""What contributors and reporters read, and how a release is made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.test_guarantees import FUNCTIONS
from tests.test_readme import leads_somewhere
from tests.test_workflow import default_sessions

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = [ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"]
CONTRIBUTING: Final = PAGES[1].read_text(encoding="utf-8")
NOXFILE: Final = (ROOT / "noxfile.py").read_text(encoding="utf-8")
RELEASE: Final = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """Links inside the repository."""
    links = re.findall(r"\]\((?!https?:)([^)]+)", page.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not leads_somewhere(page, link)] == []


def test_every_test_that_the_page_about_security_names_exists() -> None:
    """A promise without its test is a claim."""
    named = set(re.findall(r"`(test_\w+)`", PAGES[0].read_text(encoding="utf-8")))
    assert len(named) > 5
    assert named.difference(FUNCTIONS) == set()


def test_what_the_page_for_contributors_names_is_there() -> None:
    """Folders, markers and variables."""
    paths = [
        name
        for row in re.findall(r"^\| (`.*?) \|", CONTRIBUTING, re.MULTILINE)
        for name in re.findall(r"`([\w/]+)/`", row)
    ]
    assert len(paths) > 8
    beside = ROOT / "src" / "kinesink"
    assert [
        name for name in paths if not ((ROOT / name).is_dir() or (beside / name).is_dir())
    ] == []
    markers = re.findall(r'^  "(\w+): ', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert markers == ["integration", "slow"]
    assert [marker for marker in markers if f"`{marker}`" not in CONTRIBUTING] == []
    fixture = (ROOT / "tests" / "kinesis_mock.py").read_text("utf-8")
    variables = re.findall(r"`([A-Z_]{8,})", CONTRIBUTING)
    assert [name for name in variables if name not in fixture] == []


def test_the_page_for_contributors_tells_what_is_measured() -> None:
    """Sessions that there are, and those whose coverage counts."""
    bodies = dict(re.findall(r"^def (\w+)\(session: .*\n((?:    .*\n|\n)+)", NOXFILE, re.MULTILINE))
    called = set(" ".join(re.findall(r"nox -s ([a-z_ ]+)", CONTRIBUTING)).split())
    assert {"lint", "tests", "torture"} < called
    assert called <= set(bodies)
    measured = {name for name, body in bodies.items() if "measured_pytest" in body}
    (told,) = re.findall(r"^\*\*Coverage\.\*\*(.*?)\n\n", CONTRIBUTING, re.MULTILINE | re.DOTALL)
    # Who runs the torture adds to it; nobody has to.
    assert measured - {"torture"} == set(re.findall(r"`(\w+)`", told)) - {"coverage"}


def test_only_the_job_that_publishes_has_the_environment() -> None:
    """It has the identity that the package index knows, and nothing else."""
    top, _, jobs = RELEASE.partition("\njobs:\n")
    assert "\npermissions: {}\n" in top
    by_name = dict(re.findall(r"^  (\w+):\n((?:    .*\n|\n)+)", jobs, re.MULTILINE))
    asked = {
        name: re.findall(r"^      ([a-z-]+: \w+)$", _permissions(job), re.MULTILINE)
        for name, job in by_name.items()
    }
    assert asked == {
        "build": ["contents: read"],
        "attest": ["attestations: write", "id-token: write"],
        "publish": ["id-token: write"],
    }
    assert [name for name, job in by_name.items() if "environment: " in job] == ["publish"]
    # What is published is what was built and tried, once.
    assert ["checkout" in job for job in by_name.values()] == [True, False, False]


def _permissions(job: str) -> str:
    return job.partition("    permissions:\n")[2].partition("    steps:\n")[0]


def test_what_is_released_is_tried_first() -> None:
    """By a session that every push runs as well."""
    (session,) = re.findall(r"nox -s (\w+)", RELEASE)
    assert session in default_sessions()


def test_the_version_is_found_as_the_release_looks_for_it() -> None:
    """In its only place."""
    (expression,) = re.findall(r"sed -n 's/(.*?)/\\1/p' (\S+)\)", RELEASE)
    pattern, file = expression
    found = re.findall(
        pattern.replace(r"\(", "(").replace(r"\)", ")"),
        (ROOT / file).read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(found) == 1
    assert f"\n## {found[0]}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
