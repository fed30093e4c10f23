"""Every link in README and docs leads to an existing page and heading. (`make docs` checks the links of the site.)"""

import re

import pytest

from tests.pages import PAGES, REPOSITORY, prose_of, text_of

LINK = re.compile(r"\]\(([^)\s]+)\)")


def headings(path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    names = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", name.lower()).strip().replace(" ", "-") for name in names}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for number, line in prose_of(page):
        for link in LINK.findall(line):
            if link.startswith("https://"):
                continue
            file, _, anchor = link.partition("#")
            target = (REPOSITORY / page).parent / file if file else REPOSITORY / page
            assert target.is_file(), f"{page}, line {number}: {link}"
            assert not anchor or anchor in headings(target), f"{page}, line {number}: {link}"


def test_every_page_is_in_the_navigation_of_the_site():
    text = text_of("mkdocs.yml")
    missing = [page for page in PAGES if page != "README.md" and f" {page.removeprefix('docs/')}\n" not in text]
    assert not missing
