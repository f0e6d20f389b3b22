"""How blood flow is measured with each tracer: when muscle stands out, by which models, and what is called abnormal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from myoscope.core import InvalidValue
from myoscope.correct.frame_motion import FrameShifts, find_frame_shifts, find_relative_shifts
from myoscope.quantify import flow as models
from myoscope.quantify.flow import FlowModel
from myoscope.quantify.flow.blur import OUTER_EDGE_MM
from myoscope.quantify.flow.input_function import InputChoice


@dataclass(frozen=True, slots=True)
class Threshold:
    """Below ``value`` is called abnormal, after ``source``."""

    value: float
    source: str

    def said(self) -> str:
        return f"abnormal below {self.value:g} ({self.source})"


@dataclass(frozen=True, slots=True)
class TracerProtocol:
    """What the chain must know of a tracer: its nuclide, when muscle stands out, and the models it is measured with.

    The first of ``models`` is the usual one. ``low_flow`` and ``low_reserve`` are what is called abnormal, with their
    sources, None where no limit is known. ``leaves_muscle`` says that muscle never outshines blood: it shows once the
    image of blood is taken off. ``resolution_fwhm_mm`` is the resolution of a usual image where nobody states it,
    ``wall_fit_fwhm_mm`` that of camera and beating together: what its wall is fitted with; ``outer_edge_mm`` how much
    nearer than so fitted the epicardium is; ``input_region`` where left blood is best read. With ``measured_shares``
    retention models are told how much of each sample is blood and how much muscle, as the passing of the bolus shows;
    their own constants were set for sharper images. ``find_shifts`` finds how the heart lay in each frame.
    """

    nuclide: str
    late_from_s: float
    models: Mapping[str, Callable[..., FlowModel]]
    low_flow: Threshold | None
    low_reserve: Threshold
    leaves_muscle: bool = False
    resolution_fwhm_mm: float = 7.0
    wall_fit_fwhm_mm: float = 8.0
    outer_edge_mm: float = OUTER_EDGE_MM
    input_region: InputChoice = "basal"
    measured_shares: bool = False
    find_shifts: Callable[..., FrameShifts] = find_frame_shifts

    @property
    def model(self) -> Callable[[], FlowModel]:
        return next(iter(self.models.values()))


_RESERVE_LIMIT = Threshold(2.0, "guideline level; more events below it in the meta-analyses of PET, hazard ratio 2.11")
SPECT_RESOLUTION_FWHM_MM = 14.0
"""Resolution of a dynamic image as `dynamic_image` makes it: the blur that brings true activity about the heart of a
virtual patient nearest to it (multi-pinhole camera, seed 3: 14 to 16 mm, blood and wall alike)."""
SPECT_WALL_FIT_FWHM_MM = 14.0
SPECT_OUTER_EDGE_MM = 2.0
"""Walls of such images are fitted 2.4 mm (seed 3) and 5.8 mm (seed 600) thicker than mass over area says; half of the
mean of the two."""


def _technetium(tracer: str) -> TracerProtocol:
    """Dynamic SPECT with a technetium tracer, as `dynamic_image` makes it of projections."""
    return TracerProtocol(
        "Tc-99m",
        120.0,
        {
            f"{tracer}-one-tissue": partial(models.tc99m_one_tissue, tracer, washout="none"),
            f"{tracer}-net-retention": partial(models.net_retention, tracer, late_from_min=2.0),
        },
        None,
        Threshold(2.1, "Agostini et al., Eur J Nucl Med Mol Imaging 2018;45:1079, sestamibi, as quoted"),
        resolution_fwhm_mm=SPECT_RESOLUTION_FWHM_MM,
        wall_fit_fwhm_mm=SPECT_WALL_FIT_FWHM_MM,
        outer_edge_mm=SPECT_OUTER_EDGE_MM,
        # Behind the valve a limited set of views shows blood too faint, and the liver's glow reaches it.
        input_region="cavity",
        measured_shares=True,
        find_shifts=find_relative_shifts,
    )


PROTOCOLS: Mapping[str, TracerProtocol] = {
    "rubidium": TracerProtocol(
        "Rb-82",
        120.0,
        {
            "lortie": models.lortie,
            "el-fakhri": models.el_fakhri,
            "alessio": models.alessio,
            "sitek": models.sitek,
            "katoh": models.katoh,
            "herrero": models.herrero,
            "yoshida": models.yoshida,
            "lautamaki": models.lautamaki,
        },
        None,
        _RESERVE_LIMIT,
        # Of this tracer alone: ammonia and flurpiridaz, which muscle holds, raise late blood of the pool by a fifth to
        # a half (seed 104).
        input_region="pool",
        find_shifts=partial(find_frame_shifts, settle=True),
    ),
    "ammonia": TracerProtocol(
        "N-13",
        240.0,
        {
            "ucla": models.ucla,
            "ucla-plasma": partial(models.ucla, metabolites_per_min=models.METABOLITES_PER_MIN),
            "degrado": models.degrado,
            "hutchins": models.hutchins,
            "hutchins-plasma": partial(models.hutchins, metabolites_per_min=models.METABOLITES_PER_MIN),
        },
        None,
        _RESERVE_LIMIT,
    ),
    "water": TracerProtocol(
        "O-15",
        60.0,
        {"iida": models.iida},
        Threshold(2.3, "Danad et al., J Am Coll Cardiol 2014;64:1464, against FFR, as quoted"),
        Threshold(2.5, "Danad et al., J Am Coll Cardiol 2014;64:1464, against FFR, as quoted"),
        leaves_muscle=True,
    ),
    "flurpiridaz": TracerProtocol("F-18", 300.0, {"flurpiridaz": models.flurpiridaz}, None, _RESERVE_LIMIT),
    "sestamibi": _technetium("sestamibi"),
    "tetrofosmin": _technetium("tetrofosmin"),
}
_NUCLIDE_TRACERS = {"Rb-82": "rubidium", "N-13": "ammonia", "O-15": "water", "F-18 flurpiridaz": "flurpiridaz"}
_TECHNETIUM_TRACERS = ("sestamibi", "tetrofosmin")


def protocol_of(tracer: str) -> TracerProtocol:
    """The protocol of a tracer by name.

    Raises
    ------
    InvalidValue
        If flow cannot be measured with it here.
    """
    if tracer not in PROTOCOLS:
        raise InvalidValue(f"flow is measured with {', '.join(PROTOCOLS)}, not with {tracer!r}")
    return PROTOCOLS[tracer]


def flow_tracer(stated: str | None) -> str:
    """The tracer that a series states, as this chain calls it.

    Raises
    ------
    InvalidValue
        If the series states none, or one that flow is not measured with.
    """
    if stated is None:
        raise InvalidValue("the files do not say which tracer was injected")
    for words, tracer in _NUCLIDE_TRACERS.items():
        if stated.startswith(words):
            return tracer
    for tracer in _TECHNETIUM_TRACERS:
        if tracer in stated.lower():
            return tracer
    raise InvalidValue(f"flow is measured with {', '.join(PROTOCOLS)}, not with {stated}")


def model_for(tracer: str, chosen: FlowModel | None) -> FlowModel:
    """The tracer's usual model, or the chosen one.

    Raises
    ------
    InvalidValue
        If flow cannot be measured with the tracer, or the chosen model is another tracer's: it would give a flow.
    """
    own = protocol_of(tracer)
    if chosen is None:
        return own.model()
    of_others = {make().name for other in PROTOCOLS.values() for make in other.models.values()}
    if chosen.name in of_others - {make().name for make in own.models.values()}:
        raise InvalidValue(f"{chosen.name} is no model of {tracer}; those are {', '.join(own.models)}")
    return chosen


PER_SAMPLE = ("el-fakhri", "katoh", "yoshida", "lautamaki")
"""Models that do not ask how much of what was sampled is muscle."""
BY_FACTORS = ("sitek",)
"""Models whose blood is that of a factor analysis."""


def model_named(name: str, **options: Any) -> FlowModel:
    """A flow model by its name, with what else may be chosen of it (``partial_volume``, ``density_g_mL``).

    Raises
    ------
    InvalidValue
        If there is none, or it has no such choice.
    """
    known = {n: make for protocol in PROTOCOLS.values() for n, make in protocol.models.items()}
    if name not in known:
        raise InvalidValue(f"a flow model is {', '.join(known)}, not {name!r}")
    try:
        return known[name](**options)
    except TypeError:
        chosen = " or ".join(options).replace("_g_mL", "").replace("_", " ")
        raise InvalidValue(f"the model {name} leaves no choice of {chosen}: its authors fixed it") from None
