"""What was measured, in sentences, in the order of an ASNC report: quality, perfusion, change, function, phase.

Only what stands in the result is said; nothing is concluded from it, and what could not be measured is said to be
missing. A reader signs reports; this is what the reader starts from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from myoscope.core import SEGMENTS_17, VESSELS, HeartResult, PairResult, Quantity, SeriesResult, StudyResult

_SIZES = ((2, "small"), (4, "medium-sized"), (17, "large"))
_SEVERITY = ((1.5, "mild"), (2.5, "moderate"), (4.1, "severe"))
_MOSTLY = 0.67


def summary_of(result: StudyResult) -> tuple[str, ...]:
    """Sentences on a study; empty if no heart was found."""
    hearts = {one.series.name: one for one in result.series if one.heart is not None}
    ungated = [one for one in hearts.values() if not one.series.gated]
    if not hearts:
        return ()
    in_order = sorted(hearts.values(), key=_stress_first)
    sentences = [
        _quality(result),
        *(_perfusion(one) for one in sorted(ungated, key=_stress_first) or in_order),
        *(_flow(one) for one in in_order),
        *(_change(pair, hearts) for pair in result.pairs),
        *(_reserve(pair) for pair in result.pairs),
        *(_function(one) for one in in_order),
    ]
    return tuple(sentence for sentence in sentences if sentence)


def _stress_first(one: SeriesResult) -> bool:
    return one.series.state.value != "stress"


def _quality(result: StudyResult) -> str:
    loud = {
        flag.code
        for one in result.series
        for flag in (*one.series.flags, *one.flags, *(one.heart.flags if one.heart else ()))
        if flag.severity != "info"
    }
    if not loud:
        return "Quality: no warning was raised."
    kinds = "kind of warning was" if len(loud) == 1 else "kinds of warnings were"
    return f"Quality: {len(loud)} {kinds} raised; look there first."


def _perfusion(one: SeriesResult) -> str:
    heart, name = one.heart, one.series.name
    assert heart is not None
    tpd = heart.quantity("TPD")
    if tpd is None or tpd.value is None:
        return f"Perfusion, {name}: relative counts only; {_reason(heart, tpd)}."
    said = f"Perfusion, {name}: TPD {_number(tpd)}"
    summed = next((q for n in ("SSS", "SRS") if (q := heart.quantity(n)) is not None and q.value is not None), None)
    score = "" if summed is None else f"; {summed.name} {summed.value:.0f}"
    more = f"{score}{_both_positions(heart)}{_lung(heart)}"
    if not tpd.abnormal:
        return f"{said}, below the level called abnormal{more}."
    vessels = [v for v in VESSELS if (q := heart.quantity(f"TPD, {v}")) is not None and q.abnormal]
    where = f", in the territory of {_list(vessels)}" if vessels else ""
    return f"{said}, abnormal{where}{_defect(heart)}{more}."


def _both_positions(heart: HeartResult) -> str:
    both = next((q for q in heart.quantities if q.name.startswith("TPD,") and q.name.endswith("combined")), None)
    if both is None or both.value is None:
        return ""
    positions = both.name.removeprefix("TPD, ").removesuffix(" combined")
    return f"; {positions} together {_number(both)}"


def _lung(heart: HeartResult) -> str:
    ratio = heart.quantity("lung to heart ratio")
    return "" if ratio is None or ratio.value is None else f"; lung to heart ratio {ratio.value:.2f}"


def _defect(heart: HeartResult) -> str:
    scores = heart.segment_scores
    hit = [] if scores is None else [n for n in range(17) if scores[n] >= 1]
    if scores is None or not hit:
        return ""
    size = next(word for most, word in _SIZES if len(hit) <= most)
    mean = float(sum(scores[n] for n in hit) / len(hit))
    severity = next(word for most, word in _SEVERITY if mean < most)
    names = [SEGMENTS_17[n].name for n in sorted(hit, key=lambda n: -scores[n])[:4]]
    more = " and others" if len(hit) > len(names) else ""
    return f"; a {size} defect of {severity} severity ({', '.join(names)}{more})"


def _change(pair: PairResult, hearts: Mapping[str, SeriesResult]) -> str:
    stress = hearts[pair.stress].heart
    assert stress is not None
    parts = []
    ischaemic, reversible, dilation = (pair.quantity(name) for name in ("ischaemic TPD", "reversible part", "TID"))
    scores = pair.quantity("SDS")
    if ischaemic is not None and ischaemic.value is not None:
        parts.append(f"ischaemic TPD {_number(ischaemic)}")
        whole = stress.quantity("TPD")
        if reversible is not None and reversible.value is not None and whole is not None and whole.abnormal:
            share = reversible.value / max(whole.value or 0.0, 1e-9)
            word = "mostly" if share > _MOSTLY else "hardly" if share < 1 - _MOSTLY else "partly"
            parts.append(f"the defect is {word} reversible")
    if scores is not None and scores.value is not None:
        parts.append(f"SDS {scores.value:.0f}")
    if dilation is not None and dilation.value is not None and not hearts[pair.stress].series.gated:
        parts.append(f"stress to rest cavity ratio {dilation.value:.2f}")
    return f"Stress against rest ({pair.stress}, {pair.rest}): {'; '.join(parts)}." if parts else ""


def _flow(one: SeriesResult) -> str:
    assert one.heart is not None
    flow = one.heart.quantity("blood flow")
    if flow is None:
        return ""
    if flow.value is None:
        return f"Blood flow, {one.series.name}: not measured; {flow.reason}."
    return f"Blood flow, {one.series.name}: {_precise(flow)}."


def _reserve(pair: PairResult) -> str:
    reserve = pair.quantity("flow reserve")
    if reserve is None or reserve.value is None:
        return ""
    low = [v for v in VESSELS if (q := pair.quantity(f"flow reserve, {v}")) is not None and q.abnormal]
    where = f"; low in the territory of {_list(low)}" if low else ""
    severe = pair.quantity("flow capacity: severely reduced")
    share = (
        "" if severe is None or severe.value is None else f"; capacity severely reduced in {severe.value:.0f} % of it"
    )
    return f"Flow reserve of the wall ({pair.stress}, {pair.rest}): {_precise(reserve)}{where}{share}."


def _precise(quantity: Quantity) -> str:
    """A flow or a ratio, to two digits behind the point."""
    unit = "" if quantity.unit == "1" else f" {quantity.unit}"
    said = f"{quantity.value:.2f}{unit}"
    if quantity.low is not None and quantity.high is not None:
        said += f" (95 % interval {quantity.low:.2f} to {quantity.high:.2f})"
    return said


def _function(one: SeriesResult) -> str:
    heart = one.heart
    assert heart is not None
    named = [heart.quantity(name) for name in ("EF", "EDV", "ESV", "phase SD")]
    parts = [f"{q.name} {_number(q)}" for q in named if q is not None and q.value is not None]
    return f"Function, {one.series.name}: {', '.join(parts)}." if parts else ""


def _reason(heart: HeartResult, tpd: Quantity | None) -> str:
    if heart.no_limits:
        return "no normal limits fit: " + "; ".join(heart.no_limits)
    return tpd.reason if tpd is not None else "no normal limits were used"


def _number(quantity: Quantity) -> str:
    value = quantity.value
    assert value is not None
    digits = 1 if quantity.unit == "deg" or (quantity.unit == "%" and abs(value) < 10) else 0
    unit = "" if quantity.unit == "1" else f" {quantity.unit}"
    said = f"{value:.{digits}f}{unit}"
    if quantity.low is not None and quantity.high is not None:
        # What else is said of it stands under the tables.
        leaves_out = f", without {quantity.interval_of.partition(',')[0]}" if quantity.interval_of else ""
        said += f" (95 % interval {quantity.low:.{digits}f} to {quantity.high:.{digits}f}{leaves_out})"
    return said


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
