"""What looking at the pictures of each real scan found: a reader's notes, written by hand.

Slices in all three directions with the contours, the reader's outline over them, and the polar map were looked at for
each scan. A note belongs to the contours of the day it was written; when they move, look again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Verdict = Literal["as it is", "with a remark", "redraw"]
Objection = Literal["septum", "past", "short", "no counts", "neighbour", "taken in", "apex", "beside"]

OBJECTIONS: Mapping[Objection, str] = MappingProxyType(
    {
        "septum": "basal septum drawn on past the end of its counts",
        "past": "base drawn past its counts elsewhere",
        "short": "base stops short of its counts",
        "no counts": "wall drawn through a deficit that leaves nothing to follow",
        "neighbour": "bowel or liver touches the wall",
        "taken in": "contour pulled towards bowel or liver",
        "apex": "counts and contour apart at the apex",
        "beside": "contour beside the counts, or through the cavity",
    }
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a reader would do with the contours of one scan, and why.

    They are to be redrawn where a part runs on for 15 mm or more past the end of its counts or stops as far short of
    it, follows a neighbour, is guessed over most of a wall without counts, or leaves the wall all round the base.
    """

    verdict: Verdict
    objections: tuple[Objection, ...] = ()
    words: str = ""


def _fine(words: str = "") -> Look:
    return Look("as it is", (), words)


def _remark(words: str, *objections: Objection) -> Look:
    return Look("with a remark", objections, words)


def _redraw(words: str, *objections: Objection) -> Look:
    return Look("redraw", objections, words)


LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "000848": _redraw("Septum drawn about 20 mm past its clear counts; its base reads 44 %.", "septum"),
        "017891": _remark(
            "Inferior wall drawn about 10 mm past its counts. Septum and apex at 60 %, the lateral wall at 89 %.",
            "past",
        ),
        "053446": _fine(),
        "062329": _remark(
            "Bowel lies on the inferior wall half way to the base, and the contour bulges a little into it.",
            "neighbour",
        ),
        "067012": _remark("Septum drawn about 10 mm past its counts.", "septum"),
        "067507": _remark(
            "Right ventricle and blood well seen. Next to the apex, counts of the septum lie outside the contour.",
            "apex",
        ),
        "101763": _redraw("Septum drawn about 20 mm past its counts.", "septum"),
        "106612": _redraw(
            "Large inferior deficit. The inferior wall and the septum's base are drawn through places without counts; "
            "the lateral and anterior wall stop about 10 mm short.",
            "no counts",
            "septum",
            "short",
        ),
        "174098": _redraw(
            "Septum bulges on for about 30 mm past its counts, and the map shows 27 and 37 % there. The anterior wall "
            "stops about 10 mm short. A streak of bowel leaves the inferior septum.",
            "septum",
            "short",
            "neighbour",
        ),
        "174108": _fine("The outermost apical slice has its counts a little below the contour."),
        "178689": _redraw(
            "Much blood and lung. The faint inferior wall and the septum are drawn about 20 mm past what is seen; the "
            "reader left that part out.",
            "septum",
            "past",
        ),
        "187527": _remark("A streak of activity leaves the inferior septum. No flag.", "neighbour"),
        "202744": _redraw(
            "Inferior septum drawn 15 mm past its counts (39 %). Very hot liver close by, joined to it.",
            "septum",
            "neighbour",
        ),
        "220742": _remark("Liver touches the inferior septum near the apex. No flag.", "neighbour"),
        "245660": _remark("A streak of activity leaves the inferior septum. No flag.", "neighbour"),
        "280718": _fine(),
        "302111": _remark(
            "Inferior wall and septum drawn about 12 mm past their counts; liver on the inferior septum.",
            "septum",
            "past",
            "neighbour",
        ),
        "317294": _fine("Apex and septum at 60 to 64 %, the lateral wall at 94 %."),
        "377848": _remark(
            "Septum drawn about 10 mm past its counts. The two finders differ by 5 degrees; the first apical contour "
            "lies above its counts.",
            "septum",
            "apex",
        ),
        "439973": _remark(
            "Septum drawn about 12 mm past its counts; below the apex some counts lie outside.", "septum", "apex"
        ),
        "446741": _remark(
            "Deep inferior gap (34 %) with counts again at the base: the wall is drawn flat across it.", "no counts"
        ),
        "467898": _remark("Septum flares outwards about 10 mm past its counts.", "septum"),
        "476257": _redraw(
            "Septum drawn about 20 mm past its counts, the anterior and inferior wall about 10 mm, and past the "
            "reader's outline; the last short axes are empty. Next to the apex, counts of the septum lie outside.",
            "septum",
            "past",
            "apex",
        ),
        "500164": _remark(
            "A tongue of bowel leaves the inferior septum; the contour stays out. The septum's base reads 41 %.",
            "neighbour",
            "septum",
        ),
        "506174": _remark(
            "Liver joined to the inferior septum all along; the contour stays out, what it adds to the counts cannot "
            "be seen.",
            "neighbour",
        ),
        "539895": _redraw(
            "The inferior wall has no counts (26 to 45 %). It is drawn first inwards, then outwards, after nothing; "
            "the reader left it open. No flag says that this part is guessed.",
            "no counts",
        ),
        "566277": _redraw(
            "Septum drawn about 18 mm past its clear counts; the lateral wall stops about 8 mm before the reader's "
            "outline.",
            "septum",
            "short",
        ),
        "600173": _redraw(
            "Hot liver joined to the inferior septum: at the base the contour is stretched towards it, and a "
            "horizontal long axis has a waist that no heart has.",
            "neighbour",
            "taken in",
        ),
        "603225": _fine("Bowel is flagged and lies well apart."),
        "609613": _redraw(
            "Septum drawn about 20 mm past its counts; the anterior wall stops about 8 mm short. The reader's outline "
            "is narrow and open at the apex: the small overlap is the outline's doing.",
            "septum",
            "short",
        ),
        "615992": _redraw(
            "Septum drawn about 20 mm past its counts. A tongue of bowel touches the inferior wall; the contour stays "
            "out. At the faint apex (63 %) the contour lies about 4 mm outside.",
            "septum",
            "neighbour",
            "apex",
        ),
        "635209": _redraw("Septum drawn about 18 mm past its clear counts; its base reads 45 %.", "septum"),
        "647207": _remark("The lateral wall stops about 10 mm short.", "short"),
        "648767": _redraw(
            "Septum drawn about 25 mm past its counts and bent inwards, the inferior wall too; the map shows 28 and "
            "29 % there.",
            "septum",
            "past",
        ),
        "677844": _fine(),
        "698250": _fine(),
        "717259": _fine(),
        "721668": _redraw("Septum flares outwards about 16 mm past its counts.", "septum"),
        "726349": _redraw(
            "Anterior wall stops about 15 mm short. At the base the contour reaches down towards the liver; the faint "
            "inferior wall (38 to 48 %) cannot be told from its neighbour. A hot spot near the apex sticks out.",
            "short",
            "taken in",
            "neighbour",
            "apex",
        ),
        "754110": _remark(
            "Anterior wall stops about 12 mm short, the septum is drawn about 10 mm past its counts.", "short", "septum"
        ),
        "758527": _remark(
            "Anterior wall stops about 10 mm short. A streak of activity on the inferior septum; its base reads 42 %.",
            "short",
            "neighbour",
        ),
        "761198": _remark(
            "The cavity can hardly be seen, and the endocardium runs through the brightest counts: 48 mL is no more "
            "than a guess. Liver joined to the inferior septum. No flag.",
            "beside",
            "neighbour",
        ),
        "793727": _redraw(
            "The inferior wall has no counts (23 to 52 %). It is drawn as a pouch; the reader left it open. No flag "
            "says that this part is guessed.",
            "no counts",
        ),
        "828116": _fine(),
        "828630": _remark(
            "Bowel touches the inferior wall, the contour stays out. Septum drawn about 12 mm past its counts.",
            "neighbour",
            "septum",
        ),
        "832408": _remark("Bowel touches the inferior wall, the contour stays out.", "neighbour"),
        "839159": _fine("Prone."),
        "851044": _remark(
            "Thin apex (59 %), closed by the contour; septum drawn about 12 mm past its counts.", "septum"
        ),
        "876800": _remark("The faint lateral wall (47 to 67 %) is drawn 3 to 4 mm outside its counts.", "beside"),
        "892945": _remark(
            "Prone. Septum drawn about 15 mm past its counts; liver touches the inferior wall.", "septum", "neighbour"
        ),
        "898293": _remark("Prone. Bowel touches the inferior wall from below; the contour stays out.", "neighbour"),
        "907283": _remark(
            "Very hot bowel on the inferolateral wall. The contour stays out, but the map has a bright rim there that "
            "is not muscle. Three flags say so.",
            "neighbour",
        ),
        "926537": _redraw("Septum drawn about 20 mm past its clear counts; its base reads 40 %.", "septum"),
        "935602": _fine(),
        "970349": _redraw("Septum flares outwards about 16 mm past its counts (38 %).", "septum"),
    }
)
"""By the end of the number that the public file is named by."""
