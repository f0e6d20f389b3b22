"""One virtual patient at rest with rubidium, noise-free and still: made once, for all tests of the chain."""

from __future__ import annotations

from functools import cache

import numpy as np

from myoscope import flow_study
from myoscope.core import Surfaces, Volume
from myoscope.simulate.dynamic_pet import DynamicScene, dynamic_scene
from myoscope.simulate.patient import draw_patient

PATIENT, SITE = 102, "harbour"  # nothing is special about it


@cache
def rest_scene() -> DynamicScene:
    return dynamic_scene(draw_patient(PATIENT, site=SITE), "rest", "rubidium")


@cache
def still_image() -> Volume:
    return rest_scene().scan(rng=np.random.default_rng(0))


@cache
def still_wall() -> Surfaces:
    return flow_study.find_wall(still_image(), "rubidium")
