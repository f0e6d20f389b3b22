"""How each image was made and its heart found and sampled, from which inputs, in which time."""

from __future__ import annotations

from collections.abc import Mapping

from myoscope.core import StudyResult
from myoscope.report.facts import named_value


def methods(result: StudyResult) -> list[tuple[str, str]]:
    """A line for each series, then one for the study."""
    lines = []
    for one in result.series:
        said = []
        steps = [step for step in one.series.image.made_by if not step.startswith("read from")]
        if steps:
            said.append(f"Image: {'; '.join(steps)}.")
        if one.heart is not None:
            said.append(f"Heart found by {one.heart.finder}; polar map: {one.heart.polar_map.method}.")
            if one.heart.agreement:
                numbers = (named_value(k, one.heart.agreement[k]) for k in sorted(one.heart.agreement))
                said.append(f"Compared with the other finder: {', '.join(numbers)}.")
        if one.series.sources:
            hashes = [s.sha256[:12] for s in one.series.sources]
            files = "1 input file" if len(hashes) == 1 else f"{len(hashes)} input files"
            said.append(f"{files}, SHA-256 {hashes[0]}…{' and others' if len(hashes) > 1 else ''}.")
        if one.seconds:
            said.append(f"Time: {_times(one.seconds)}.")
        lines.append((one.series.name, " ".join(said)))
    if result.seconds:
        lines.append(("Study", f"Time: {_times(result.seconds)}."))
    return lines


def _times(seconds: Mapping[str, float]) -> str:
    return ", ".join(f"{step.replace('_', ' ')} {value:.2f} s" for step, value in seconds.items())
