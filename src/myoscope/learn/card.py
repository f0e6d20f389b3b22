"""Model cards: what a network was taught on, what it is for, how it did, and what it must not be used for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from myoscope.core import InvalidValue, UnreadableFile

NOT_FOR_CLINICAL_USE = (
    "This model was trained on virtual patients. It is for research, not a medical device, and not for clinical use."
)
CARD_SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class ModelCard:
    """Everything that must be known of a model before its answer is read.

    ``identifier`` is what a prediction names. ``inputs`` and ``answers`` say in words what goes in and comes out.
    ``cohorts`` are names and hashes of the training cohorts, ``n_training`` and ``n_validation`` patients of them.
    ``figures`` are measured results in words, with n and interval; ``files`` the sha256 of each file beside the card.
    ``numbers`` holds what using the model needs: channel order, temperature, conformal thresholds, limits.
    """

    identifier: str
    system: str
    version: str
    does: str
    source: str
    inputs: tuple[str, ...]
    answers: tuple[str, ...]
    cohorts: Mapping[str, str]
    n_training: int
    n_validation: int
    settings: Mapping[str, Any]
    figures: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    software: str = ""
    minutes: float = 0.0
    warning: str = NOT_FOR_CLINICAL_USE
    schema_version: int = CARD_SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not (self.identifier and self.system and self.does and self.warning):
            raise InvalidValue("a model card states its identifier, its system, what the model does and its warning")

    def markdown(self) -> str:
        """The card as a page."""
        lines = [
            f"# {self.identifier}",
            "",
            f"**{self.warning}**",
            "",
            f"{self.does}, after {self.source}.",
            "",
            "## In and out",
            "",
            *(f"* in: {line}" for line in self.inputs),
            *(f"* out: {line}" for line in self.answers),
            "",
            "## Taught on",
            "",
            f"{self.n_training} patients to teach, {self.n_validation} to validate "
            "(when to stop, temperature, thresholds), of",
            "",
            *(f"* {name}, sha256 {digest[:16]}" for name, digest in self.cohorts.items()),
            "",
            "## Figures",
            "",
            *([f"* {line}" for line in self.figures] or ["none measured yet"]),
            "",
            "## Limits",
            "",
            *([f"* {line}" for line in self.limits] or ["none stated"]),
            "",
            "## Made by",
            "",
            f"{self.software}, {self.minutes:.1f} minutes. Settings: "
            + ", ".join(f"{name} {value}" for name, value in self.settings.items())
            + ".",
            "",
            "| file | sha256 |",
            "|---|---|",
            *(f"| {name} | {digest} |" for name, digest in self.files.items()),
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """``<system>.json`` and ``<system>.md`` in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        (folder / f"{self.system}.json").write_text(text, encoding="utf-8", newline="\n")
        (folder / f"{self.system}.md").write_text(self.markdown(), encoding="utf-8", newline="\n")


def read_card(folder: Path, system: str) -> ModelCard:
    """The card of a system's model in a folder.

    Raises
    ------
    UnreadableFile
        There is none, or it is not one that this version knows.
    """
    path = folder / f"{system}.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnreadableFile(
            f"{folder} holds no model of {system} ({path.name} is missing); train one with: myoscope train {system}"
        ) from error
    except (OSError, ValueError) as error:
        raise UnreadableFile(f"{path} is not a model card: {error}") from error
    if not isinstance(facts, dict) or facts.get("schema_version") != CARD_SCHEMA_VERSION:
        raise UnreadableFile(f"{path} is not a model card of version {CARD_SCHEMA_VERSION}")
    for name in ("inputs", "answers", "figures", "limits"):
        facts[name] = tuple(facts.get(name, ()))
    try:
        return ModelCard(**facts)
    except TypeError as error:
        raise UnreadableFile(f"{path} is not a model card: {error}") from error
