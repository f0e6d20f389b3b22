"""What a series shows: stress or rest, corrected or not, position, tracer, camera; and how that is known.

Codes are asked first, then plain attributes, then the words of descriptions (in the languages met so far). A fact
from a description says so and names the word and the attribute it was found in; nothing else of the free text is
passed on, because it may hold a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from myoscope.core import MISSING, Flag, Stated
from myoscope.io import codes
from myoscope.io.dicom_header import Header

# Texts about one series. Those about the whole study (StudyDescription, ...) name the protocol, not the image.
_DESCRIPTIONS = ("ImageID", "SeriesDescription", "ProtocolName", "ImageComments")

_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "state": {
        "rest": (
            *("rest", "resting", "rst", "baseline", "basal", "repouso", "reposo", "repos", "ruhe", "riposo", "vila"),
            *("redistribution", "redist", "redistribuicao", "reinjection", "reinj", "delayed"),
        ),
        "stress": (
            *("stress", "str", "strs", "stres", "estresse", "estres", "esforco", "esforc", "esfuerzo", "effort"),
            *("sforzo", "belastung", "exercise", "ergometrie", "ergometry", "treadmill", "bruce"),
            *("adenosine", "adenosin", "adenosina", "regadenoson", "rapiscan", "lexiscan", "dipyridamole"),
            *("dipyridamol", "dipiridamol", "persantin", "persantine", "dobutamine", "dobutamina", "dobutamin"),
            *("farmacologico", "farmaco", "pharmacologic", "pharmacological", "inspanning"),
        ),
    },
    "corrected": {
        "no": ("nc", "nac", "noac", "nonac", "uncorrected", "unkorrigiert", "irnc", "nonattenuation"),
        "yes": ("ac", "irac", "ctac", "scac", "attn", "acsc", "attenuationcorrected", "flashac"),
    },
    "position": {
        "prone": ("prone", "pron", "prono", "bauch", "bauchlage", "ventral", "procubitus"),
        "supine": ("supine", "supin", "supino", "rueckenlage", "ruckenlage", "dorsal"),
        "upright": ("upright", "sitting", "sentado", "sitzend", "assis", "seated", "erect"),
    },
    "gated": {"yes": ("gated", "gate", "gatd", "gspect", "gatilhado", "synchro", "getriggert", "gating")},
    "tracer": {
        "Tc-99m sestamibi": ("mibi", "sestamibi", "cardiolite", "isonitrila"),
        "Tc-99m tetrofosmin": ("tetrofosmin", "tetrofosmina", "myoview"),
        "Tl-201": ("thallium", "talio", "tl201", "thal"),
        "I-123 MIBG": ("mibg",),
        "I-123 BMIPP": ("bmipp",),
        "Rb-82 chloride": ("rubidium", "rb82", "82rb", "cardiogen", "rubyfill", "rubidio"),
        "N-13 ammonia": ("ammonia", "nh3", "13nh3", "ammoniak", "amoniaco", "ammoniaque"),
        "O-15 water": ("h2o15", "15oh2o", "h215o", "o15water"),
        "F-18 flurpiridaz": ("flurpiridaz", "flyrcado"),
    },
}
# Words that say nothing here but run together with others, as in SGATE, STRESSTOMO, IRNC or RESTSA.
_FILLERS = (
    *("recon", "tomo", "spect", "mpi", "myo", "myocard", "cardiac", "ir", "em", "fbp", "osem", "tra", "trans", "sa"),
    *("vla", "hla", "sax", "short", "axis", "tc99m", "tc", "99m", "img", "image", "series", "scan", "card", "heart"),
)
# One letter for the state is believed only where it runs together with a word of acquisition: SGATE, RTOMO.
_LETTER_STATE = {"s": "stress", "r": "rest"}
_LETTER_PARTNERS = frozenset({"gate", "gated", "gspect", "tomo", "spect", "mibi", "recon"})


@dataclass(frozen=True, slots=True)
class Description:
    """The facts of one series, and flags where they contradict each other."""

    state: Stated
    corrected: Stated
    position: Stated
    tracer: Stated
    camera: Stated
    sex: Stated
    age_y: float | None
    flags: tuple[Flag, ...]


def describe(header: Header, *, gated: bool, window_keV: tuple[float, float] | None = None) -> Description:
    """The facts of one NM image.

    ``gated`` says whether the image holds gates; ``window_keV`` is its first energy window, which hints at the
    radionuclide where nothing else does, and is held against it where something does.
    """
    flags: list[Flag] = []
    state = _decide("state", _coded_state(header), _described(header, "state"), flags)
    if state.value is None:
        state = _state_by_drug(header)
    corrected = _decide("corrected", _corrected_image(header), _described(header, "corrected"), flags)
    position = _decide("position", _coded_position(header, flags), _described(header, "position"), flags)
    tracer = _coded_tracer(header)
    if tracer.source != "code" or " " not in (tracer.value or " "):
        tracer = _refine(tracer, _described(header, "tracer"))
    by_energy = MISSING if window_keV is None else _tracer_by_energy(*window_keV)
    if tracer.value is None:
        tracer = by_energy
    elif by_energy.value is not None and not tracer.value.startswith(by_energy.value):
        flags.append(
            Flag(
                "tracer_contradicts_energy",
                f"The tracer is said to be {tracer.value}, but {by_energy.evidence} is that of {by_energy.value}.",
                "warning",
                {"stated": tracer.value, "by_energy": by_energy.value},
            )
        )
    if not gated and _described(header, "gated").value == "yes":
        flags.append(
            Flag(
                "described_as_gated",
                "The description says gated, the image holds no gates: probably the sum of all gates.",
                "info",
            )
        )
    return Description(state, corrected, position, tracer, _camera(header), _sex(header), _age_y(header), tuple(flags))


def describe_words(text: str, what: str) -> Stated:
    """What a piece of free text says about one thing (``state``, ``corrected``, ``position``, ...).

    Missing where it says nothing or two different things.
    """
    found: dict[str, str] = {}
    for token in _tokens(text):
        for value, word in _meaning(token, what):
            found.setdefault(value, word)
    if len(found) != 1:
        return MISSING
    ((value, word),) = found.items()
    return Stated(value, "description", f"the word '{word}'")


def _tokens(text: str) -> list[str]:
    """Lower-case words of a text: accents removed, capitals in the middle and other signs taken as borders."""
    plain = unicodedata.normalize("NFKD", text[:1000].replace("ß", "ss"))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain)
    return [token for token in re.split(r"[^a-z0-9]+", plain.casefold()) if token and len(token) <= 40]


@lru_cache(maxsize=16)
def _vocabulary(what: str) -> dict[str, str]:
    return {word: value for value, words in _WORDS[what].items() for word in words}


@lru_cache(maxsize=1)
def _all_words() -> frozenset[str]:
    return frozenset(word for group in _WORDS.values() for words in group.values() for word in words) | set(_FILLERS)


@lru_cache(maxsize=4096)
def _meaning(token: str, what: str) -> tuple[tuple[str, str], ...]:
    """(value, word) pairs that a token holds, alone or run together with other known words."""
    known = _vocabulary(what)
    stem = token.rstrip("0123456789") or token
    for form in (token, stem):
        if form in known:
            return ((known[form], form),)
    found = []
    for part in _split(stem):
        if part in known:
            found.append((known[part], part))
    if not found and what == "state" and stem[:1] in _LETTER_STATE and _split(stem[1:]):
        first = _split(stem[1:])[0]
        if first in _LETTER_PARTNERS:
            found.append((_LETTER_STATE[stem[0]], stem[0] + first))
    return tuple(found)


def _split(token: str) -> tuple[str, ...]:
    """A token cut into known words, the longest first; empty if something is left over."""
    if not token:
        return ()
    best: dict[int, tuple[str, ...]] = {len(token): ()}
    words = _all_words()
    for start in range(len(token) - 1, -1, -1):
        for end in range(len(token), start, -1):
            if end in best and token[start:end] in words:
                best[start] = (token[start:end], *best[end])
                break
    return best.get(0, ())


def _described(header: Header, what: str) -> Stated:
    for keyword in _DESCRIPTIONS:
        said = describe_words(header.text(keyword), what)
        if said.value is not None:
            return Stated(said.value, "description", f"{said.evidence} in {keyword}")
    return MISSING


def _decide(what: str, firm: Stated, described: Stated, flags: list[Flag]) -> Stated:
    """The firm fact where there is one; a description that contradicts it is flagged."""
    if firm.value is None:
        return described
    if described.value is not None and described.value != firm.value:
        flags.append(
            Flag(
                f"{what}_contradictory",
                f"The file's {firm.source} says {firm.value}, its description says {described.value} "
                f"({described.evidence}); the {firm.source} was believed.",
                "warning",
                {"believed": firm.value, "described": described.value},
            )
        )
    return firm


def _coded_state(header: Header) -> Stated:
    for context in header.items("AcquisitionContextSequence"):
        for code in context.codes("ConceptCodeSequence"):
            if code in codes.STATE:
                return Stated(codes.STATE[code], "code", f"AcquisitionContextSequence {code[1]} {code[0]}")
            if code in codes.REDISTRIBUTION:
                return Stated("rest", "assumed", f"{codes.REDISTRIBUTION[code]} state ({code[1]} {code[0]})")
    return MISSING


def _state_by_drug(header: Header) -> Stated:
    for drug in header.items("InterventionDrugInformationSequence"):
        for code in drug.codes("InterventionDrugCodeSequence"):
            if code in codes.STRESS_AGENT:
                return Stated("stress", "assumed", f"the stress agent {codes.STRESS_AGENT[code]}")
    return MISSING


def _corrected_image(header: Header) -> Stated:
    if not header.has("CorrectedImage"):
        return MISSING
    corrections = {word.upper() for word in header.texts("CorrectedImage")}
    if not corrections:
        return MISSING
    return Stated("yes" if "ATTN" in corrections else "no", "header", "CorrectedImage")


def _coded_position(header: Header, flags: list[Flag]) -> Stated:
    by_code = MISSING
    for orientation in header.items("PatientOrientationCodeSequence"):
        for code in (*orientation.codes("PatientOrientationModifierCodeSequence"), *_code_of(orientation)):
            if by_code.value is None and code in codes.POSITION:
                by_code = Stated(codes.POSITION[code], "code", f"PatientOrientationCodeSequence {code[1]} {code[0]}")
    stated = codes.PATIENT_POSITION.get(header.text("PatientPosition").upper())
    by_header = Stated(stated[0], "header", "PatientPosition") if stated else MISSING
    entries = {codes.ENTRY[c] for c in header.codes("PatientGantryRelationshipCodeSequence") if c in codes.ENTRY}
    if stated and stated[1] and entries and stated[1] not in entries:
        flags.append(
            Flag(
                "entry_contradictory",
                f"The gantry code says {min(entries)}, PatientPosition says {stated[1]}.",
                "warning",
            )
        )
    if by_code.value is None:
        return by_header
    if by_header.value is not None and by_header.value != by_code.value:
        flags.append(
            Flag(
                "position_contradictory",
                f"The orientation code says {by_code.value}, PatientPosition says {by_header.value}; "
                "the code was believed.",
                "warning",
                {"code": by_code.value, "header": by_header.value},
            )
        )
    return by_code


def _code_of(item: Header) -> tuple[codes.Code, ...]:
    value = item.text("CodeValue")
    return ((codes.vocabulary(item.text("CodingSchemeDesignator")), value),) if value else ()


def _coded_tracer(header: Header) -> Stated:
    """The radiopharmaceutical by its code; failing that, the radionuclide by its code."""
    for item in header.items("RadiopharmaceuticalInformationSequence"):
        for code in item.codes("RadiopharmaceuticalCodeSequence"):
            if code in codes.RADIOPHARMACEUTICAL:
                return Stated(codes.RADIOPHARMACEUTICAL[code], "code", f"radiopharmaceutical {code[1]} {code[0]}")
        # GE writes the bare code value as text.
        bare = ("SRT", item.text("Radiopharmaceutical"))
        if bare in codes.RADIOPHARMACEUTICAL:
            return Stated(codes.RADIOPHARMACEUTICAL[bare], "code", f"radiopharmaceutical {bare[1]} (scheme not stated)")
        said = describe_words(item.text("Radiopharmaceutical"), "tracer")
        if said.value is not None:
            return Stated(said.value, "header", "Radiopharmaceutical")
        for code in item.codes("RadionuclideCodeSequence"):
            if code in codes.RADIONUCLIDE:
                return Stated(codes.RADIONUCLIDE[code], "code", f"radionuclide {code[1]} {code[0]}")
    return MISSING


def _refine(coded: Stated, described: Stated) -> Stated:
    """A description may add the compound to a coded radionuclide, never change it."""
    if coded.value is None:
        return described
    if described.value is not None and described.value.startswith(f"{coded.value} "):
        return described
    return coded


def _tracer_by_energy(low_keV: float, high_keV: float) -> Stated:
    for peak_keV, nuclide in ((140.5, "Tc-99m"), (159.0, "I-123"), (71.0, "Tl-201"), (511.0, "a positron emitter")):
        centre = 0.5 * (low_keV + high_keV)
        if low_keV < peak_keV < high_keV and abs(centre - peak_keV) < 0.04 * peak_keV and high_keV < 1.5 * low_keV:
            return Stated(nuclide, "assumed", f"the energy window {low_keV:g} to {high_keV:g} keV")
    return MISSING


def _camera(header: Header) -> Stated:
    """Maker and model in known words; serial numbers, stations and institutions are never read."""
    maker_text = " ".join(_tokens(header.text("Manufacturer")))
    maker = next((name for word, name in codes.MAKER if re.search(rf"\b{word}\b", maker_text)), "")
    model = _model(header.text("ManufacturerModelName"))
    detector = header.first("DetectorInformationSequence")
    collimator = codes.COLLIMATOR_TYPE.get(detector.text("CollimatorType").upper(), "") if detector else ""
    if detector and collimator == "pinhole" and detector.text("CollimatorGridName").upper().startswith("MPH"):
        collimator = "multi-pinhole"
    described = ", ".join(part for part in (" ".join(p for p in (maker, model) if p), collimator) if part)
    if not described:
        return MISSING
    return Stated(described, "header", "Manufacturer, ManufacturerModelName, CollimatorType")


def _model(text: str) -> str:
    text = " ".join(text.split())
    if text.upper() in codes.MODEL:
        return codes.MODEL[text.upper()]
    safe = 0 < len(text) <= 40 and re.fullmatch(r"[A-Za-z0-9 ()+./_-]+", text) and not re.search(r"\d{5,}", text)
    return text if safe else ""


def _sex(header: Header) -> Stated:
    sex = header.text("PatientSex").upper()
    return Stated(sex, "header", "PatientSex") if sex in ("M", "F", "O") else MISSING


def _age_y(header: Header) -> float | None:
    """Age in whole years as DICOM states it (three digits and a letter), None for infants and anything else."""
    text = header.text("PatientAge").strip().upper()
    stated = re.fullmatch(r"(\d{3})Y", text)
    age_y = None if stated is None else float(stated[1])
    return age_y if age_y is not None and 0 < age_y < 130 else None


def name_series(facts: Iterable[str | None]) -> str:
    """A short file-safe name from the facts that are known, such as ``stress-gated-prone``."""
    parts = [re.sub(r"[^a-z0-9]+", "-", fact.casefold()).strip("-") for fact in facts if fact]
    return "-".join(part for part in parts if part) or "series"
