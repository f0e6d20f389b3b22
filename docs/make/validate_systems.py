"""The systems on the reference registry: taught, judged on the external site, explained, and what it cost.

    python docs/make/validate_systems.py --registry DIR [--spectf DIR] [--only PART ...]

``DIR`` holds the tiers of ``myoscope simulate reference`` (``maps``, ``full``, ``low-likelihood``, ``flow``);
``--spectf`` is the folder with SPECTF.train and SPECTF.test (UCI). Writes ``docs/validation/systems.md``. Every part
keeps what it made in ``DIR.validation``: after a kill the same call goes on, and the page is put together of the parts
that are there. A part whose cohort has changed is made anew. Two cores need some hours, most of them for teaching;
``--only spectf`` takes a minute and needs no registry.

``--set`` shortens the teaching to try the script; the page then has to go elsewhere (``--page``), as it has for any
registry that is not the reference one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from systems_audited import audits
from systems_bench import KEY_LENGTH, TEACHING, TIERS, Bench, file_name, key, say
from systems_explained import explanations
from systems_tables import flow_tables, ordering, ordering_with_function, tables

from myoscope import io
from myoscope.core import InvalidValue, MyoscopeError
from myoscope.systems import spectf

PAGE = Path(__file__).parents[1] / "validation" / "systems.md"


_OF_EARLIER = "*The registry has changed since.*"


def real_data(bench: Bench) -> list[str]:
    """A small network and simple baselines on SPECTF, real patients, through the same evaluation."""
    import torch

    if bench.spectf is None:
        raise InvalidValue("SPECTF needs the folder with SPECTF.train and SPECTF.test (--spectf DIR)")
    torch.set_num_threads(1)
    settings = spectf.Settings()
    training, test = spectf.prepare(bench.spectf)
    began = time.process_time()
    networks = spectf.train(training, settings, checkpoints=bench.work / "spectf")
    seconds = time.process_time() - began
    found = spectf.evaluate(training, test, spectf.predict(test, networks), rng=np.random.default_rng(0))
    return [
        "## Real data: SPECTF",
        "",
        "Normal or abnormal perfusion as read by cardiologists, from counts of 22 regions at stress and rest "
        "(Kurgan et al. "
        f"2001, UCI Machine Learning Repository, CC BY 4.0), published split: {len(training.abnormal)} patients teach, "
        f"{len(test.abnormal)} are judged, {int((~test.abnormal).sum())} of them normal, which bounds what can be "
        "said. The "
        f"network, its {len(networks)} members and all settings were fixed before the test part was looked at "
        f"(`myoscope.systems.spectf`); seed {settings.seed}, {seconds:.0f} s of one core. The published CLIP3 reads "
        "77 % of the test part right.",
        "",
        found.markdown(),
    ]


PARTS: dict[str, tuple[Callable[[Bench], list[str]], tuple[str, ...]]] = {
    "ordering": (ordering, ("maps", "low-likelihood")),
    "function": (ordering_with_function, ("full", "low-likelihood")),
    "betancur2018": (lambda bench: tables(bench, "betancur2018"), ("maps", "low-likelihood")),
    "betancur2019": (lambda bench: tables(bench, "betancur2019"), ("maps", "low-likelihood")),
    "otaki2022": (lambda bench: tables(bench, "otaki2022"), ("full", "low-likelihood")),
    "yeung2022": (flow_tables, ("flow",)),
    "explanations": (explanations, ("maps", "low-likelihood")),
    "audits": (audits, ("maps", "low-likelihood")),
    "spectf": (real_data, ()),
}
"""What makes each part of the page, and the tiers that it rests on."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", type=Path)
    parser.add_argument("--spectf", type=Path)
    parser.add_argument("--work", type=Path, help="what was made, to go on from [<registry>.validation]")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), help="parts to make now")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="a setting, NAME=VALUE; a trial run")
    parser.add_argument("--cases", type=int, default=200, help="patients who are explained")
    parser.add_argument("--page", type=Path, default=PAGE)
    asked = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        return _run(asked)
    except MyoscopeError as error:
        print(error, file=sys.stderr)
        return 2


def _run(asked: argparse.Namespace) -> int:
    registry: Path | None = asked.registry
    if registry is None and asked.work is None and tuple(asked.only) != ("spectf",):
        raise InvalidValue(
            "there is no registry; give --registry DIR with the tiers of `myoscope simulate reference`, or "
            "--only spectf"
        )
    beside = Path("systems.validation") if registry is None else registry.with_name(f"{registry.name}.validation")
    work = asked.work or beside
    bench = Bench(registry, work, asked.spectf, tuple(asked.changes), asked.cases, asked.page.parent / "figures")
    if registry is not None and not bench.hashes:
        raise InvalidValue(f"{registry} holds no registry: no {', '.join(TIERS)} of `myoscope simulate reference`")
    if asked.page.resolve() == PAGE.resolve():
        _require_reference(bench)
    failed = []
    for name in asked.only:
        make, tiers = PARTS[name]
        try:
            for tier in tiers:
                bench.cohort(tier)
            kept = _fragment(bench, name)
            if not kept.exists():
                say(f"part {name}")
                kept.parent.mkdir(parents=True, exist_ok=True)
                heading, *rest = make(bench)
                lines = [heading, *_rests_on(bench, tiers), *rest]
                with io.atomic_write(kept, "w") as file:
                    file.write("\n".join(lines).rstrip("\n") + "\n")
        except MyoscopeError as error:
            failed.append(f"{name}: {error}")
    parts = {name: _fragment(bench, name) for name in PARTS}
    found = {name: path if path.exists() else _earlier(bench, name) for name, path in parts.items()}
    there = {name: path for name, path in found.items() if path is not None}
    if there:
        asked.page.parent.mkdir(parents=True, exist_ok=True)
        asked.page.write_text(_page(bench, there), encoding="utf-8", newline="\n")
        print(f"{len(there)} of {len(PARTS)} parts: {asked.page}")
    for sentence in failed:
        print(sentence, file=sys.stderr)
    return 2 if failed else 0


def _require_reference(bench: Bench) -> None:
    """Only what teaches in the reference registry, as far as it is made, makes the page of the documentation."""
    if bench.changes:
        raise InvalidValue("figures of changed settings are no part of the documentation; give another --page")
    for tier in bench.hashes:
        made_by = " ".join(io.read_cohort(bench.cohort(tier)).cohort.made_by)
        if tier in TEACHING and f"simulate reference --tier {tier}" not in made_by:
            raise InvalidValue(f"{tier} is not a tier of the reference registry ({made_by}); give another --page")


def _fragment(bench: Bench, name: str) -> Path:
    """Where a part is kept; another cohort, or other settings, make another file."""
    rests_on = [bench.hashes.get(tier, "") for tier in PARTS[name][1]]
    return bench.work / "parts" / f"{file_name(name)}-{key([*rests_on, *bench.changes, str(bench.cases)])}.md"


def _rests_on(bench: Bench, tiers: Sequence[str]) -> list[str]:
    """Which state of the registry a part was made of, to stand below its heading."""
    if not tiers:
        return []
    made = [
        f"{tier} (`{io.read_cohort(bench.cohort(tier)).cohort.made_by[0]}`, SHA-256 {bench.hashes[tier][:12]})"
        for tier in tiers
    ]
    return ["", f"Registry: {'; '.join(made)}."]


def _earlier(bench: Bench, name: str) -> Path | None:
    """The last part of this name that was made on an earlier state of the registry, None in a trial."""
    if bench.changes:
        return None
    made = (bench.work / "parts").glob(f"{file_name(name)}-{'?' * KEY_LENGTH}.md")
    return max(made, key=lambda path: path.stat().st_mtime, default=None)


def _page(bench: Bench, there: Mapping[str, Path]) -> str:
    missing = [name for name in PARTS if name not in there]
    lines = [
        "# Systems",
        "",
        "<!-- Written by docs/make/validate_systems.py; do not edit. -->",
        "",
        "`python docs/make/validate_systems.py --registry DIR --spectf DIR` makes this page. All figures but "
        "those of SPECTF "
        "are of **virtual patients, not people**: they say whether methods do what they claim where the truth is "
        "known, and "
        "nothing of diagnostic accuracy in patients. Published figures are of closed registries and stand beside "
        "as context.",
        "",
    ]
    if bench.hashes:
        lines += [
            "The external site took no part in teaching or in setting anything, but for one thing: that a map's level "
            "is looked for among all levels (`quantify.scaling`) was decided with TPD of all five sites in view.",
            "",
        ]
    if missing:
        lines += [f"Not here yet: {', '.join(missing)}.", ""]
    for name, path in there.items():
        heading, *part = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
        lines += [heading, *(["", _OF_EARLIER] if path != _fragment(bench, name) else []), *part, ""]
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    sys.exit(main())
