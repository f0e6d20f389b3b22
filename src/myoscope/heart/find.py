"""Two finders, each the other's check.

The learned finder is the default for images like those it was trained on, the model-based one for all others.
Both always run: where they disagree about the place, the axis or the wall, the result says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Literal

import numpy as np

from myoscope.core import Flag, HeartNotFound, MyoscopeError, Volume
from myoscope.heart.axis import frame_from_wall
from myoscope.heart.find_model import find_by_model, place_flags
from myoscope.heart.left_ventricle import LeftVentricle

MODEL, NETWORK = "model", "network"

# Beyond these the two finders do not mean the same ventricle: see docs/validation/finder.md for how far apart they
# are on scans where both are right.
_CENTRE_MM, _AXIS_DEG, _OVERLAP = 8.0, 12.0, 0.70

# What the model-based finder notices about the image holds whoever leads.
_ABOUT_THE_IMAGE = ("hot_neighbour", "low_contrast")


def find_by_network(volume: Volume, *, threads: int = 1) -> LeftVentricle:
    """The left ventricle whose wall the trained network outlines; its long axis is fitted to the counts in it.

    Gated volumes are summed. ``confidence`` is the mean probability within the wall, stretched from 0.5..1 to 0..1.

    Raises
    ------
    HeartNotFound
        If the network sees no wall, or one too small or too shapeless to have an axis.
    """
    from myoscope.heart.learned import segment_wall

    summed = volume.summed()
    _, found = segment_wall(summed.array, summed.grid.affine, threads=threads)
    if not found.located:
        raise HeartNotFound(found.reason)
    wall = Volume(found.mask, summed.grid, "mask", (*summed.made_by, "outlined by the learned finder"))
    confidence = float(np.clip(2 * found.confidence - 1, 0, 1))
    frame = frame_from_wall(summed, wall)
    return LeftVentricle(frame, wall, NETWORK, confidence, place_flags(summed, frame.long_axis, found.mask))


def find_left_ventricle(
    volume: Volume,
    *,
    in_training_domain: bool,
    prefer: Literal["auto", "network", "model"] = "auto",
    threads: int = 1,
) -> tuple[LeftVentricle, Mapping[str, float]]:
    """The left ventricle by the preferred finder, checked by the other one.

    ``in_training_domain`` says that the image is like the learned finder's training set; it decides when
    ``prefer`` is ``auto``. Returned with the ventricle: how far apart the two finders are (``centre_mm``,
    ``axis_deg``, ``overlap``), empty if only one of them found a heart.

    Raises
    ------
    HeartNotFound
        If neither finder finds a heart; the sentence gives both reasons.
    """
    summed = volume.summed()
    learned_first = prefer == NETWORK or (prefer == "auto" and in_training_domain)
    found: dict[str, LeftVentricle] = {}
    reasons: dict[str, str] = {}
    # Everything is imported before there are two threads: imports of one package at once can meet it half made.
    for module in ("scipy.fft", "scipy.ndimage"):
        import_module(module)
    from myoscope.heart.learned import load_networks

    load_networks(threads)
    # Side by side: the network's arithmetic leaves the interpreter free for the other finder.
    with ThreadPoolExecutor(max_workers=1) as beside:
        learned = beside.submit(find_by_network, summed, threads=threads)
        try:
            found[MODEL] = find_by_model(summed)
        except MyoscopeError as error:
            reasons[MODEL] = str(error)
        try:
            found[NETWORK] = learned.result()
        except MyoscopeError as error:
            reasons[NETWORK] = str(error)
    if not found:
        same = reasons[MODEL] == reasons[NETWORK]
        raise HeartNotFound(
            reasons[MODEL] if same else f"{reasons[MODEL]} (the learned finder says: {reasons[NETWORK]})"
        )
    first, second = (NETWORK, MODEL) if learned_first else (MODEL, NETWORK)
    if first in found and second in found:
        agreement = _agreement(found[first], found[second])
        seen = () if first == MODEL else tuple(f for f in found[MODEL].flags if f.code in _ABOUT_THE_IMAGE)
        return _flagged(found[first], (*seen, *_disagreement(agreement))), agreement
    alone, missing = (first, second) if first in found else (second, first)
    words = {NETWORK: "learned", MODEL: "model-based"}
    flag = Flag(
        "found_by_one_finder",
        f"Only the {words[alone]} finder found the heart; the {words[missing]} one says: {reasons[missing]}",
        "warning" if alone == first else "error",
    )
    return _flagged(found[alone], (flag,)), {}


def _agreement(one: LeftVentricle, other: LeftVentricle) -> dict[str, float]:
    return {
        "centre_mm": round(float(np.linalg.norm(one.frame.centre_mm - other.frame.centre_mm)), 2),
        "axis_deg": round(one.frame.angle_to_deg(other.frame), 2),
        "overlap": round(float(one.overlap(other)), 4),
    }


def _disagreement(agreement: Mapping[str, float]) -> tuple[Flag, ...]:
    apart = []
    if agreement["centre_mm"] > _CENTRE_MM:
        apart.append(f"the centre by {agreement['centre_mm']:.0f} mm")
    if agreement["axis_deg"] > _AXIS_DEG:
        apart.append(f"the long axis by {agreement['axis_deg']:.0f} degrees")
    if agreement["overlap"] < _OVERLAP:
        apart.append(f"the wall (overlap {agreement['overlap']:.2f})")
    if not apart:
        return ()
    message = f"The two finders disagree about {' and '.join(apart)}: look at the contours before using the numbers."
    apart_altogether = agreement["overlap"] < 0.3 or agreement["centre_mm"] > 30
    return (Flag("finders_disagree", message, "error" if apart_altogether else "warning", agreement),)


def _flagged(ventricle: LeftVentricle, flags: tuple[Flag, ...]) -> LeftVentricle:
    return LeftVentricle(
        ventricle.frame, ventricle.wall, ventricle.method, ventricle.confidence, (*ventricle.flags, *flags)
    )
