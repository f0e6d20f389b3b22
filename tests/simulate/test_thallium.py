"""Thallium: one injection under stress, low energy, and living muscle that fills up until the later image."""

from dataclasses import replace

import numpy as np
import pytest

from myoscope.core import InvalidValue
from myoscope.simulate.acquire import expose
from myoscope.simulate.cameras import CAMERAS
from myoscope.simulate.patient import draw_patient
from myoscope.simulate.perfusion import redistributed, uptake
from myoscope.simulate.sites import SITES


def test_ischaemia_fills_up_and_scar_stays() -> None:
    facts = draw_patient(5, site="north", disease="infarct").facts
    perfusion = facts.perfusion
    half = replace(perfusion, stress_flow_mL_min_g=perfusion.stress_flow_mL_min_g / 2)
    early, late = (redistributed(half, tracer="thallium", minutes_after_injection=t) for t in (0, 10_000))
    alive = 1 - perfusion.scar_fraction
    np.testing.assert_allclose(early, uptake(half, tracer="thallium", state="stress"))
    np.testing.assert_allclose(late, alive)
    scar = perfusion.scar_fraction > 0.3
    assert scar.any()
    assert late[scar].max() < 0.7
    in_between = redistributed(half, tracer="thallium", minutes_after_injection=210)
    lacks = early < alive
    assert (in_between[lacks] > early[lacks]).all()
    assert (in_between[lacks] <= alive[lacks]).all()


def test_a_reversible_defect_is_reversible_in_the_images_hours_later() -> None:
    patient = draw_patient(5, site=SITES["north"].with_tracer("thallium"), disease="LAD")
    stress, rest = (next(look for look in patient.looks() if look.state == s) for s in ("stress", "rest"))
    (organs, wall), (later_organs, later) = patient.concentrations(stress), patient.concentrations(rest)
    ischaemic = patient.facts.perfusion.ischaemia * (1 - patient.facts.perfusion.scar_fraction) > 0.4
    early_ratio = (wall / organs["lv_wall"])[ischaemic].mean()
    late_ratio = (later / later_organs["lv_wall"])[ischaemic].mean()
    assert late_ratio > early_ratio + 0.1
    # One dose: washed out and decayed, never added to.
    assert later_organs["lv_wall"] < organs["lv_wall"]
    assert patient.site.residual_MBq("rest") == 0


def test_windows_and_attenuation_are_those_of_thallium() -> None:
    technetium = draw_patient(5, site="north")
    thallium = draw_patient(5, site=SITES["north"].with_tracer("thallium"))
    assert thallium.facts.person == technetium.facts.person
    look = thallium.looks()[0]
    scene, other = thallium.scene(look, n_phases=1), technetium.scene(technetium.looks()[0], n_phases=1)
    # Water: 0.18 per cm at 72 keV, 0.15 at 140 keV.
    denser = np.median(np.asarray(scene.attenuation.array)[np.asarray(other.attenuation.array) > 0.14])
    assert 0.17 < denser < 0.22
    seen = expose(scene, CAMERAS["conventional"], view_duration_s=10, emission=thallium.emission)
    assert seen.windows[0].lower_keV < 72 < seen.windows[0].upper_keV < 90
    assert float(seen.heart.sum()) > 0


def test_a_centre_of_thallium_is_asked_for_properly() -> None:
    north = SITES["north"]
    assert north.with_tracer("sestamibi") is north
    assert north.with_tracer("tetrofosmin").stress == north.stress
    with pytest.raises(InvalidValue, match="tracer is"):
        north.with_tracer("rubidium")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="injects thallium once"):
        north.with_tracer("thallium").with_tracer("sestamibi")
    with pytest.raises(InvalidValue, match="only thallium"):
        replace(north, protocol="stress-redistribution")
    with pytest.raises(InvalidValue, match="at least 0"):
        redistributed(draw_patient(5, site="north").facts.perfusion, tracer="thallium", minutes_after_injection=-1)
