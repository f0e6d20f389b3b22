"""Audits of a taught system: when it abstains, a foreign camera among it, and what its features know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_systems import Trained, cohorts, shared, trained_system

from myoscope import io
from myoscope.core import InvalidValue
from myoscope.learn import Examples
from myoscope.systems.abstention import (
    AS_THEY_COME,
    abstention,
    abstention_lines,
    of_foreign_cameras,
    strange_maps,
    taught_cameras,
)
from myoscope.systems.betancur2018 import build_from_card
from myoscope.systems.explanation import Explainer
from myoscope.systems.shortcut_audit import audit_system, features_of, not_learned_from


@pytest.fixture(scope="module")
def taught(cohorts: tuple[io.CohortFolder, io.CohortFolder], shared: Path) -> Trained:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("lightning_fabric", reason="lightning is not installed (pip install myoscope[train])")
    return trained_system("betancur2018", cohorts, shared)


def _with(examples: Examples, **changed: NDArray[np.generic]) -> Examples:
    """The same studies with other maps, or with other words about them."""
    parts = {name: getattr(examples, name) for name in examples.__slots__}
    maps = changed.pop("maps", parts["maps"])
    return Examples(**{**parts, "maps": maps, "about": dict(parts["about"]) | changed})


def test_a_card_says_which_cameras_and_sites_taught(taught: Trained) -> None:
    assert taught_cameras(taught.model) == ("column-czt",)
    assert taught.card.numbers["sites"] == ["riverside"]
    old = taught.model
    old.card = replace(old.card, numbers={k: v for k, v in old.card.numbers.items() if k != "cameras"})
    with pytest.raises(InvalidValue, match="does not say which cameras taught it"):
        taught_cameras(old)


def test_maps_of_a_camera_that_did_not_teach_stand_beside_spoilt_ones(taught: Trained) -> None:
    examples = taught.examples
    camera = np.where(examples.about["site"] == "coast", "line detector", examples.about["camera"])
    # The new camera is so coarse that half of a wall is not seen.
    maps = np.array(examples.maps)
    maps[camera == "line detector"] *= np.linspace(0.2, 1, 72, dtype=np.float32)
    mixed = _with(examples, camera=camera, maps=maps)
    foreign = of_foreign_cameras(mixed, taught_cameras(taught.model))
    assert list(foreign) == ["line detector of coast"]
    assert len(foreign["line detector of coast"]) == 20
    own = examples.rows(np.flatnonzero(examples.about["site"] == "riverside"))
    rows = abstention(taught.model, own, rng=np.random.default_rng(0), foreign=foreign)
    said = {row.maps: row.abstains for row in rows}
    other = said["of a camera that did not teach: line detector of coast"]
    assert (other.n, rows[-1].foreign, rows[-1].patients) == (20, "line detector of coast", 20)
    assert other.value > said[AS_THEY_COME].value + 0.3
    assert said["noise in the place of a heart"].value == 1
    assert {"septum and lateral wall exchanged", "contour too short (base not reached)"} <= set(said)
    lines = abstention_lines(rows)
    assert len(lines) == len(rows) + 2
    assert lines[-1].startswith("| of a camera that did not teach: line detector of coast | 20 |")


def test_cameras_that_taught_are_not_foreign(taught: Trained) -> None:
    assert of_foreign_cameras(taught.examples, taught_cameras(taught.model)) == {}
    parts = {name: getattr(taught.examples, name) for name in taught.examples.__slots__}
    silent = Examples(**{**parts, "about": {}})
    with pytest.raises(InvalidValue, match="columns site and camera"):
        of_foreign_cameras(silent, ["column-czt"])


def test_spoiling_leaves_right_maps_as_they_are() -> None:
    maps = np.random.default_rng(1).random((2, 2, 40, 72)).astype(np.float32)
    before = maps.copy()
    strange = strange_maps(maps, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(maps, before)
    np.testing.assert_array_equal(strange["contour too short (base not reached)"][:, :, 8:], maps[:, :, :-8])
    assert all(one.shape == maps.shape and one.dtype == np.float32 for one in strange.values())
    assert not any(np.array_equal(one, maps) for one in strange.values())


def test_a_network_is_audited_in_studies_that_it_did_not_learn_from(taught: Trained) -> None:
    unseen = not_learned_from(taught.examples, taught.folder)
    coast = taught.examples.about["site"] == "coast"
    assert unseen[coast].all()
    assert 8 <= unseen[~coast].sum() <= 14  # a third of riverside's 34
    folds = [not_learned_from(taught.examples, taught.folder, member=member)[~coast] for member in range(3)]
    assert (np.sum(folds, axis=0) == 1).all()


def test_site_and_camera_are_audited_as_sex_is(taught: Trained) -> None:
    examples = taught.examples
    explainer = Explainer(taught.folder, "betancur2018", build_from_card)
    # One site's maps are brighter all over, which the features show.
    camera = np.where(examples.about["site"] == "coast", "line detector", "column-czt")
    maps = np.array(examples.maps) * np.where(camera == "column-czt", 1.0, 3.0).astype(np.float32)[:, None, None, None]
    mixed = _with(examples, camera=camera, maps=maps)
    found = audit_system(explainer, mixed, rng=np.random.default_rng(0), resamples=60)
    assert found.n == found.patients == 54
    assert {"man", "65 years or older"} <= {one.attribute for one in found.shortcuts}
    by_name = {audit.attribute: audit for audit in found.levels}
    assert [one.attribute for one in by_name["site"].levels] == ["site: coast", "site: riverside"]
    assert by_name["camera"].read.value > 0.9
    assert by_name["camera"].levels[0].decodable.value > 0.9
    text = "\n".join(found.lines())
    assert "| camera: line detector |" in text
    assert "* site: read right in" in text
    plain = audit_system(explainer, examples, rng=np.random.default_rng(0), resamples=60)
    assert any(one.startswith("camera: not asked") for one in plain.not_asked)
    assert features_of(explainer, examples).shape == (54, features_of(explainer, examples.rows([0])).shape[1])
