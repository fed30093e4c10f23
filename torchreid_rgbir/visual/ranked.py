"""Ranked results as a picture: a query and its best gallery images in a row, right ones framed green, wrong ones red."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from torchreid_rgbir import atomic
from torchreid_rgbir.data.cross_modal import read_image
from torchreid_rgbir.metrics.distance import distances
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.metrics.galleries import draw_agw
from torchreid_rgbir.metrics.protocol import modality_of
from torchreid_rgbir.metrics.ranking import Skip

RIGHT, WRONG, QUERY = "#1a9850", "#d73027", "#404040"
FRAME, GAP, LINE = 4, 8, 18  # pixels: frame, space between pictures, height of a line of text


class Match(NamedTuple):
    """A gallery image at its place in a ranked list."""

    impath: str
    is_right: bool
    distance: float  # to the query


def ranked_lists(
    features: TestFeatures, query: str, skip: Skip, distance: str = "cosine", topk: int = 10, num_queries: int = 10
) -> list[tuple[str, list[Match]]]:
    """Ranked lists for a picture: a few queries against one image of each identity and camera (AGW's first draw).

    Args:
        features: of test images, with paths.
        query: "ir" or "rgb".
        skip: the protocol's rule for gallery images that a query passes over.
        distance: "cosine" or "euclidean".
        topk: length of each list; the gallery's size at most.
        num_queries: queries spread evenly over all of them.

    Returns:
        (path of the query, its matches from the best on).

    Raises:
        ValueError: features without paths.
    """
    modality = modality_of(query)
    queries, gallery = features.of(modality), features.of(1 - modality)
    gallery = gallery.take(draw_agw(gallery, np.unique(gallery.camids).tolist())[0])
    chosen = queries.take(np.unique(np.linspace(0, len(queries) - 1, num_queries).round().astype(int)))
    dist = distances(chosen.features, gallery.features, distance)  # (num_queries, G)
    if chosen.paths is None or gallery.paths is None:
        raise ValueError("features without paths: there are no pictures to draw")
    lists = []
    for row, (impath, pid, camid) in enumerate(zip(chosen.paths, chosen.pids, chosen.camids, strict=True)):
        seen = np.flatnonzero(~skip(pid, camid, gallery))
        best = seen[np.argsort(dist[row, seen], kind="stable")[:topk]]
        matches = [Match(str(gallery.paths[i]), bool(gallery.pids[i] == pid), float(dist[row, i])) for i in best]
        lists.append((str(impath), matches))
    return lists


def draw_ranked(
    rows: Sequence[tuple[str, Sequence[Match]]], title: str, size: tuple[int, int] = (64, 128)
) -> Image.Image:
    """Draws ranked lists, one a row.

    Args:
        rows: (path of the query, its matches from the best on); all rows have the same number of matches.
        title: a line above.
        size: width and height of each picture, in pixels.

    Returns:
        An RGB image of (1 + matches) columns and `len(rows)` rows.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("no ranked lists to draw: give at least one query")
    wide, tall = size[0] + 2 * FRAME + GAP, size[1] + 2 * FRAME + LINE + GAP
    columns = 1 + max(len(matches) for _, matches in rows)
    sheet = Image.new("RGB", (columns * wide + 2 * GAP, len(rows) * tall + 2 * LINE + 2 * GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)

    def place(impath: str, row: int, column: int, colour: str, text: str) -> None:
        left = GAP + column * wide + (GAP if column else 0)
        top = 2 * LINE + GAP + row * tall
        pen.rectangle((left, top, left + size[0] + 2 * FRAME - 1, top + size[1] + 2 * FRAME - 1), fill=colour)
        sheet.paste(read_image(impath).resize(size), (left + FRAME, top + FRAME))
        pen.text((left + FRAME, top + size[1] + 2 * FRAME + 1), text, fill=colour, font=font)

    pen.text((GAP, GAP), title, fill="black", font=font)
    pen.text(
        (GAP, GAP + LINE),
        "green: the query's identity   red: another   below: place and distance",
        fill=QUERY,
        font=font,
    )
    for row, (query, matches) in enumerate(rows):
        place(query, row, 0, QUERY, "query")
        for column, match in enumerate(matches, start=1):
            place(match.impath, row, column, RIGHT if match.is_right else WRONG, f"{column}: {match.distance:.2f}")
    return sheet


def save_picture(picture: Image.Image, path: str | Path) -> None:
    """Writes a PNG, making its folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(path) as file:
        picture.save(file, "PNG")
