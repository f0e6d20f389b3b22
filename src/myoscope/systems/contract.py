"""What every system that learns from a cohort offers, and how it is found by its name.

A system is a module: settings, and five functions. The same contract test runs over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, get_args, get_type_hints

from myoscope.core import InvalidValue
from myoscope.systems import SYSTEMS

if TYPE_CHECKING:
    import numpy as np
    from lightning_fabric import Fabric
    from torch import nn

    from myoscope import io
    from myoscope.core import Explanation
    from myoscope.learn import Examples, ModelCard, TrainedModel
    from myoscope.learn.tracking import Log
    from myoscope.systems.evaluation import Evaluation, Prognosis

Progress = Callable[[str, float], None]
_S = TypeVar("_S")


@dataclass(frozen=True, slots=True)
class Published:
    """A figure of the paper: what, its value and 95 % interval (NaN where not given), and on how many."""

    what: str
    value: float
    low: float
    high: float
    n: str


class CohortSystem(Protocol):
    """The module of a system."""

    PUBLISHED: tuple[Published, ...]

    @property
    def Settings(self) -> Any: ...  # noqa: N802 - it is a class

    def prepare(
        self,
        cohorts: Sequence[io.CohortFolder],
        settings: Any,
        *,
        normals: Sequence[io.CohortFolder] = (),
        keep_unverified: bool = False,
    ) -> Examples:
        """Inputs and labels of every study that has them; or inputs of all, to correct for who was verified."""

    def train(
        self,
        examples: Examples,
        settings: Any,
        *,
        out: Path,
        fabric: Fabric | None = None,
        log: Callable[[str], Log] | None = None,
        progress: Progress | None = None,
    ) -> ModelCard:
        """Teach on the sites that are not external; writes the model into ``out``."""

    def predict(self, examples: Examples, model: TrainedModel) -> Prognosis:
        """What the model says of these studies."""

    def evaluate(
        self,
        examples: Examples,
        prognosis: Prognosis,
        model: TrainedModel,
        *,
        rng: np.random.Generator,
        resamples: int = 1000,
    ) -> Evaluation:
        """How good that is, beside the score that has to be beaten; ``resamples`` of the bootstrap."""

    def explain(self, examples: Examples, row: int, folder: Path, *, method: str = "") -> Explanation:
        """Why the model said so of one study."""

    def build_from_card(self, settings: Mapping[str, Any], member: int) -> nn.Module:
        """The untrained network of one member, as a card's settings say."""


def load_system(name: str) -> CohortSystem:
    """The module of a system that learns from a cohort.

    Raises
    ------
    InvalidValue
        There is no such system, or it learns from scans.
    """
    known = {system.name: system for system in SYSTEMS}
    of_cohorts = ", ".join(system.name for system in SYSTEMS if system.learns_from == "cohort")
    if name not in known:
        raise InvalidValue(f"there is no system {name!r}; there are {of_cohorts}")
    if known[name].learns_from != "cohort":
        raise InvalidValue(f"{name} learns from scans and not from a cohort; its own file says how it is trained")
    module: Any = import_module(f"myoscope.systems.{name}")
    found: CohortSystem = module
    return found


def settings_of(kind: type[_S], facts: Mapping[str, Any]) -> _S:
    """Settings as a card stores them: lists there are tuples here."""
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()})


def settings_with(settings: Any, changes: Sequence[str]) -> Any:
    """Settings with some fields changed, each given as ``name=value``; tuples are separated by commas.

    Raises
    ------
    InvalidValue
        No such field, or a value of another kind.
    """
    hints = get_type_hints(type(settings))
    names = [field.name for field in fields(settings)]
    changed = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in names:
            raise InvalidValue(f"a setting is changed as name=value, name one of {', '.join(names)}; got {change!r}")
        changed[name] = _value(name, text, hints[name], getattr(settings, name))
    return replace(settings, **changed)


def _value(name: str, text: str, hint: Any, now: Any) -> Any:
    try:
        if isinstance(now, tuple):
            kind = type(now[0]) if now else str
            return tuple(kind(part) for part in text.split(",") if part)
        if isinstance(now, str):
            choices = get_args(hint)
            if choices and text not in choices:
                raise ValueError(f"not one of {', '.join(map(str, choices))}")
            return text
        if isinstance(now, bool):
            return {"true": True, "false": False}[text.lower()]
        return type(now)(text)
    except (ValueError, KeyError) as error:
        raise InvalidValue(f"setting {name} is like {now!r}; {text!r} is not ({error})") from error
