"""What a user may choose about blood flow, and how it is said on a command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from myoscope.core import InvalidValue, UnreadableFile
from myoscope.flow_protocols import BY_FACTORS, model_named
from myoscope.quantify.flow import FlowModel
from myoscope.quantify.flow.capacity import HOUSTON, CapacityClasses
from myoscope.quantify.flow.input_function import InputChoice

Weighting = Literal["uniform", "duration", "counts"]
_FACTORS: Literal["factors"] = "factors"
_BOUND = "bound-"


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """What a user may choose about flow.

    ``model``, ``input_region`` (where left blood is read) and ``resolution_fwhm_mm`` None take the
    tracer's usual one; ``motion`` whether frames are aligned; ``global_volume`` ties washout to uptake by one
    distribution volume of the whole heart where the model has one; ``outside`` leaves out what of a sample lies beyond
    the wall or past its end; ``bounds`` (lowest, highest) hold kinetic parameters of the model by name in place of its
    own; ``capacity`` are the classes of flow capacity.
    """

    model: FlowModel | None = None
    input_region: InputChoice | None = None
    motion: bool = True
    global_volume: bool = True
    outside: bool = True
    resolution_fwhm_mm: float | None = None
    weighting: Weighting = "counts"
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    capacity: CapacityClasses = HOUSTON


def settings_of(
    model: str | None,
    *,
    resolution_fwhm_mm: float | None = None,
    choices: Sequence[str] = (),
    capacity: Path | None = None,
) -> FlowSettings:
    """Settings for a model by its name, None = the tracer's usual one, with the input that it was made for.

    ``choices`` are words like ``input=atrium``, ``motion=off``, ``washout=cells``, ``outside=off``,
    ``weighting=duration``, ``bound-k2=0:1.5`` and, with a model that knows them, ``partial-volume=none`` and
    ``density=1``. ``capacity`` is a JSON file of classes of flow capacity (`read_capacity_classes`).

    Raises
    ------
    InvalidValue
        If there is no such model or choice, or it cannot be had with the model.
    UnreadableFile
        If the file does not hold classes.
    """
    given = _named(choices)
    of_model: dict[str, Any] = {}
    if "partial-volume" in given:
        of_model["partial_volume"] = _one_of("partial-volume", given.pop("partial-volume"), ("geometric", "none"))
    if "density" in given:
        of_model["density_g_mL"] = _number("density", given.pop("density"))
    if of_model and model is None:
        raise InvalidValue("partial-volume and density belong to a model: name it as well (--flow-model)")
    settings = FlowSettings(resolution_fwhm_mm=resolution_fwhm_mm)
    if model is not None:
        region = _FACTORS if model in BY_FACTORS else None
        settings = replace(settings, model=model_named(model, **of_model), input_region=region)
    settings = replace(
        settings,
        **{
            _CHOICES[name][0]: _CHOICES[name][1](name, value)
            for name, value in given.items()
            if not name.startswith(_BOUND)
        },
    )
    bounds = {name.removeprefix(_BOUND): _span(name, value) for name, value in given.items() if name.startswith(_BOUND)}
    settings = replace(settings, bounds=bounds)
    return settings if capacity is None else replace(settings, capacity=read_capacity_classes(capacity))


def read_capacity_classes(path: Path) -> CapacityClasses:
    """Classes of flow capacity of a laboratory's own, from a JSON file.

    ``{"names": ["normal", "low"], "stress_flow": [2.0], "reserve": [2.5], "source": "..."}``: from the best class to
    the worst, and the falling limits between them.

    Raises
    ------
    UnreadableFile
        No such file, or not such classes.
    """
    try:
        read = json.loads(Path(path).read_text(encoding="utf-8"))
        names, source = tuple(read["names"]), read["source"]
        if isinstance(read["names"], str) or not all(isinstance(words, str) for words in (*names, source)):
            raise TypeError("names are a list of words, source is words")
        flow, reserve = (tuple(float(x) for x in read[key]) for key in ("stress_flow", "reserve"))
        return CapacityClasses(names, flow, reserve, source)
    except InvalidValue as error:
        raise UnreadableFile(f"{Path(path).name}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableFile(
            f"{Path(path).name} does not hold classes of flow capacity: names, stress_flow, reserve and source are "
            "wanted, as JSON"
        ) from error


def _named(choices: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for words in choices:
        name, equals, value = words.partition("=")
        if not equals or (name not in _CHOICES and name not in _OF_MODEL and not name.startswith(_BOUND)):
            known = ", ".join([*_CHOICES, *_OF_MODEL, f"{_BOUND}PARAMETER"])
            raise InvalidValue(f"a choice about flow is NAME=VALUE with one of {known}, not {words!r}")
        given[name] = value
    return given


def _one_of(name: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise InvalidValue(f"{name} is {', '.join(known)}, not {value!r}")
    return value


def _switch(name: str, value: str) -> bool:
    return _one_of(name, value, ("on", "off")) == "on"


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InvalidValue(f"{name} is a number, not {value!r}") from None


def _span(name: str, value: str) -> tuple[float, float]:
    low, colon, high = value.partition(":")
    span = (_number(name, low), _number(name, high)) if colon else (1.0, 0.0)
    if not span[0] < span[1]:
        raise InvalidValue(f"{name} is LOWEST:HIGHEST, such as 0:1.5, not {value!r}")
    return span


_OF_MODEL = ("partial-volume", "density")
_CHOICES: Mapping[str, tuple[str, Callable[[str, str], Any]]] = {
    "input": ("input_region", lambda name, value: _one_of(name, value, get_args(InputChoice))),
    "motion": ("motion", _switch),
    "washout": ("global_volume", lambda name, value: _one_of(name, value, ("heart", "cells")) == "heart"),
    "outside": ("outside", _switch),
    "weighting": ("weighting", lambda name, value: _one_of(name, value, get_args(Weighting))),
}
