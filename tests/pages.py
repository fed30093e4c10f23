"""Reads README and docs for the tests: pages, their blocks of code, and the reason why a block is not run."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^ *```(.*)$")
_MARKER = re.compile(r"<!-- not run: (.+) -->")


@dataclass(frozen=True)
class Block:
    """The text between two fences."""

    page: str
    line: int  # of the opening fence
    language: str
    text: str
    not_run: str  # the reason; "" if a test runs the block

    @property
    def place(self) -> str:
        return f"{self.page}, line {self.line}"

    @property
    def file(self) -> str:
        """The file name in the first line, `# NAME.py`, of a Python block that is a file; otherwise ""."""
        found = re.match(r"# (\w+\.py)\n", self.text)
        return found[1] if found and self.language == "python" else ""


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    lines = text_of(page).splitlines()
    blocks = []
    start = 0  # line of the open block
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if not fence:
            continue
        if not start:
            start, language = number, fence[1].strip()
        else:
            marker = _MARKER.fullmatch(lines[start - 2].strip()) if start > 1 else None
            text = "\n".join(lines[start : number - 1]) + "\n"
            blocks.append(Block(page, start, language, text, marker[1] if marker else ""))
            start = 0
    assert not start, f"{page}, line {start}: the block does not end"
    return blocks


def prose_of(page: str) -> list[tuple[int, str]]:
    """The lines outside blocks, with their numbers."""
    inside, lines = False, []
    for number, line in enumerate(text_of(page).splitlines(), start=1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            lines.append((number, line))
    return lines


def commands(text: str) -> list[tuple[list[str], str]]:
    """The commands of a block as words, each with its input from `<<'END'`. Comments and commands after a pipe are skipped."""
    found = []
    lines = iter(text.replace("\\\n", " ").splitlines())
    for line in lines:
        words = [word for word in shlex.split(line, comments=True) if word != "&&"]
        if not words:
            continue
        given = ""
        if "<<" in line:
            end = words.pop().removeprefix("<<")
            given = "".join(f"{text}\n" for text in iter(lambda: next(lines), end))
        ends = [i for i, word in enumerate(words) if word == "|" or (word == ">" and words[0] != "cat")]
        found.append((words[: ends[0]] if ends else words, given))
    return found
