"""Images that come with a study: what its projections and its CT say against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chest_phantom import chest, ct_of, projections_of
from myoscope import reconstruct
from myoscope.analyze import Settings, analyze_study
from myoscope.core import Grid, Projections, Series, SeriesResult, Stated, Study, Volume
from myoscope.correct.movement import shifted

STRESS = Stated("stress", "code")
HERE = {"state": STRESS, "frame_of_reference_sha256": "here"}
BESIDE_MM = (14.0, -6.0, 10.0)


@pytest.fixture(scope="module")
def scan() -> Projections:
    activity, mu = chest()
    return projections_of(activity, mu)


@pytest.fixture(scope="module")
def image(scan: Projections) -> Volume:
    return reconstruct.reconstruct(scan, settings=reconstruct.ReconstructionSettings())


def analysed(*series: Series) -> Mapping[str, SeriesResult]:
    found = analyze_study(Study("patient", series), settings=Settings(finder="model", workers=1))
    return {one.series.name: one for one in found.series}


def given(image: Volume, **facts: Any) -> Series:
    about = {"corrected": Stated("no", "code"), **HERE, **facts}
    return Series("stress-nc", "RECON TOMO", image, **about)


def projections(scan: Projections, **facts: Any) -> Series:
    return Series("stress-projections", "TOMO", scan, **{**HERE, **facts})


def codes(result: SeriesResult) -> list[str]:
    return [flag.code for flag in (*result.flags, *(result.heart.flags if result.heart else ()))]


@pytest.fixture(scope="module")
def of_still(scan: Projections, image: Volume) -> Mapping[str, SeriesResult]:
    """A study of nobody who moved: its image and the projections it was made of."""
    return analysed(given(image), projections(scan))


def test_projections_tell_of_movement_though_their_image_is_given(
    scan: Projections, of_still: Mapping[str, SeriesResult]
) -> None:
    n = scan.n_views // 3
    steps_mm = np.zeros((scan.n_views, 2))
    steps_mm[n:, 0] = -15.0
    counts = shifted(np.asarray(scan.counts, float), steps_mm, pixel_mm=scan.pixel_mm)
    moved = replace(scan, counts=counts.astype(np.float32))
    blurred = reconstruct.reconstruct(moved, settings=reconstruct.ReconstructionSettings())

    results = analysed(given(blurred), projections(moved))

    head = results["stress-projections"]
    assert {"patient_moved", "reconstructions_given"} <= set(codes(head))
    assert head.moved_back is not None
    heart = results["stress-nc"].heart
    assert heart is not None
    ratio = heart.quantity("lung to heart ratio")
    assert ratio is not None
    assert ratio.value is not None
    still = of_still["stress-projections"]
    assert "patient_moved" not in codes(still)
    assert "projections_not_compared" not in codes(still)


def test_an_image_that_lies_elsewhere_is_not_held_to_the_projections(scan: Projections, image: Volume) -> None:
    affine = np.array(image.grid.affine)
    affine[:3, 3] += (40.0, 0.0, 30.0)
    elsewhere = Volume(np.asarray(image.array), Grid(image.grid.shape, affine), image.unit, image.made_by)
    results = analysed(given(elsewhere), projections(scan))
    assert "projections_not_compared" in codes(results["stress-projections"])
    heart = results["stress-nc"].heart
    assert heart is not None
    assert heart.quantity("lung to heart ratio") is None


def test_a_map_is_aligned_with_the_heart_of_an_image_that_is_given(scan: Projections, image: Volume) -> None:
    _, mu = chest()
    ct = Series("ct", "CT", ct_of(mu, shift_mm=BESIDE_MM), frame_of_reference_sha256="here")
    results = analysed(given(image), projections(scan), ct)
    made = results["stress-ac"]
    assert "mu_map_moved" in [*codes(made), *(flag.code for flag in made.series.flags)]


def test_a_given_corrected_image_is_doubted_if_its_map_lies_beside_the_heart(image: Volume) -> None:
    _, mu = chest()
    yes = Stated("yes", "code")
    corrected = replace(given(image, corrected=yes), name="stress-ac")

    def doubts(**about: Any) -> list[str]:
        shift_mm = about.pop("shift_mm")
        ct = Series("ct", "CT", ct_of(mu, shift_mm=shift_mm), **{"frame_of_reference_sha256": "here", **about})
        return [code for code in codes(analysed(given(image), corrected, ct)["stress-ac"]) if code.startswith("mu_")]

    assert doubts(shift_mm=BESIDE_MM) == ["mu_map_displaced"]
    assert doubts(shift_mm=(0.0, 0.0, 0.0)) == ["mu_map_aligned"]
    # Coordinates of another origin say nothing of where the map lay when it was used.
    assert doubts(shift_mm=BESIDE_MM, frame_of_reference_sha256="elsewhere") == []


def test_the_order_of_energy_windows_changes_nothing(
    scan: Projections, image: Volume, of_still: Mapping[str, SeriesResult]
) -> None:
    assert len(scan.windows) == 2
    turned = replace(scan, counts=np.asarray(scan.counts)[::-1].copy(), windows=scan.windows[::-1])

    def ratio(results: Mapping[str, SeriesResult]) -> float:
        heart = results["stress-nc"].heart
        assert heart is not None
        found = heart.quantity("lung to heart ratio")
        assert found is not None
        assert found.value is not None
        return found.value

    assert ratio(analysed(given(image), projections(turned))) == pytest.approx(ratio(of_still))


def test_a_map_is_held_to_the_corrected_image_where_the_uncorrected_one_lies_elsewhere(image: Volume) -> None:
    affine = np.array(image.grid.affine)
    affine[:3, 3] += (40.0, 0.0, 30.0)
    elsewhere = Volume(np.asarray(image.array), Grid(image.grid.shape, affine), image.unit, image.made_by)
    plain = given(elsewhere, frame_of_reference_sha256="elsewhere")
    corrected = replace(given(image, corrected=Stated("yes", "code")), name="stress-ac")
    ct = Series("ct", "CT", ct_of(chest()[1]), frame_of_reference_sha256="here")
    found = codes(analysed(plain, corrected, ct)["stress-ac"])
    assert "mu_map_aligned" in found
