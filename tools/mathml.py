"""A Markdown extension that converts formulas ($...$, $$...$$) to MathML, which needs neither scripts nor a network."""

from xml.etree.ElementTree import Element

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.treeprocessors import Treeprocessor
from pymdownx.arithmatex import ArithmatexExtension


class ToMathML(Treeprocessor):
    """Replaces the LaTeX in Arithmatex's elements: `\\(...\\)` inline, or `\\[...\\]` in a separate paragraph."""

    def run(self, root: Element) -> None:
        for element in root.iter():
            if element.get("class") == "arithmatex" and element.text:
                display = "block" if element.tag == "div" else "inline"
                mathml = convert(element.text.strip()[2:-2], display=display)
                element.text = self.md.htmlStash.store(mathml)  # type: ignore[attr-defined]


class MathMLExtension(ArithmatexExtension):
    """Arithmatex, followed by the conversion of its formulas to MathML."""

    def extendMarkdown(self, md: Markdown) -> None:
        super().extendMarkdown(md)
        md.treeprocessors.register(ToMathML(md), "mathml", 15)  # after inline patterns (20)


def makeExtension(**options) -> MathMLExtension:
    """Called by Markdown, which requires this name."""
    return MathMLExtension(generic=True, **options)
