"""Where virtual patients are imaged: five centres that differ in whom they see and in how they look.

A model that is trained at some centres and judged at another one meets what it would meet in the world: another
camera, tracer, protocol, dose, reconstruction, mix of patients and readiness to refer. The centres stand for nobody.
Doses, times and positions are ordinary ones of guidelines and of the CZT literature (two-day protocols with
740 MBq and 20 minutes give about 5e5 myocardial counts on a conventional camera; CZT cameras reach as many or more
with a third); filters are common presets and, like the differences between the centres' patients, configurable
assumptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, get_args

from myoscope.core import InvalidValue
from myoscope.physics.decay import share_left

Camera = Literal["conventional", "multi-pinhole-czt", "column-czt"]
Tracer = Literal["sestamibi", "tetrofosmin", "thallium"]
Protocol = Literal["one-day stress-rest", "one-day rest-stress", "two-day", "stress-redistribution"]
"""The last is thallium's: one injection under stress, imaged at once and, in the place of rest, hours later."""
State = Literal["stress", "rest"]
Position = Literal["supine", "prone", "upright"]

HOURS_BETWEEN_DOSES = 3.0
"""From the first to the second dose of a one-day protocol."""


@dataclass(frozen=True, slots=True)
class Scan:
    """How one state is imaged: what is injected, how long after, and for how long the camera looks."""

    dose_MBq: float
    minutes_after_injection: float
    duration_s: float

    def __post_init__(self) -> None:
        if min(self.dose_MBq, self.minutes_after_injection, self.duration_s) <= 0:
            raise InvalidValue(f"dose, delay and duration of a scan are positive, got {self}")


@dataclass(frozen=True, slots=True)
class SiteReconstruction:
    """How a centre turns projections into images, in plain words for whoever reconstructs.

    ``filter_kind`` is "butterworth" (``filter_order`` and ``filter_cutoff_per_cm``, amplitude form) or "gaussian"
    (``filter_fwhm_mm``), or "none". ``median_prior`` is the weight of a median root prior. ``attenuation`` adds a
    corrected series beside the uncorrected one.
    """

    method: Literal["auto", "fbp", "mlem", "osem"]
    iterations: int = 1
    subsets: int = 1
    response: bool = False
    attenuation: bool = False
    scatter: bool = False
    filter_kind: Literal["butterworth", "gaussian", "none"] = "butterworth"
    filter_order: float = 5.0
    filter_cutoff_per_cm: float = 0.5
    filter_fwhm_mm: float = 0.0
    median_prior: float = 0.0


@dataclass(frozen=True, slots=True)
class Site:
    """A centre: camera, protocol, settings, and the patients who come to it.

    ``share_women`` (0-1), ``age_mean_y`` and ``bmi_median_kg_m2`` set its patients, ``share_exercise`` how many are
    stressed on a treadmill; ``risk_logit`` shifts the odds of obstructive disease and ``referral_logit`` the odds
    of being sent to angiography, both natural logarithms; ``readers`` names entries of ``readers.READERS``.
    """

    name: str
    camera: Camera
    has_ct: bool
    tracer: Tracer
    protocol: Protocol
    stress: Scan
    rest: Scan
    gates: int
    positions: tuple[Position, ...]
    reconstruction: SiteReconstruction
    gated_reconstruction: SiteReconstruction
    share_women: float
    age_mean_y: float
    bmi_median_kg_m2: float
    share_exercise: float
    risk_logit: float
    referral_logit: float
    readers: tuple[str, ...]
    external: bool = False

    def __post_init__(self) -> None:
        if self.gates not in (8, 16):
            raise InvalidValue(f"site {self.name}: studies have 8 or 16 gates, not {self.gates}")
        if not self.positions or not self.readers:
            raise InvalidValue(f"site {self.name} needs a position and a reader")
        if "upright" in self.positions and self.camera != "column-czt":
            raise InvalidValue(f"site {self.name}: only the column camera images upright patients")
        if self.reconstruction.attenuation and not self.has_ct:
            raise InvalidValue(f"site {self.name} corrects attenuation without a CT")
        if self.redistributes and (self.tracer != "thallium" or self.stress.dose_MBq != self.rest.dose_MBq):
            raise InvalidValue(f"site {self.name}: only thallium redistributes, and of one dose")
        for share in (self.share_women, self.share_exercise):
            if not 0 <= share <= 1:
                raise InvalidValue(f"site {self.name}: a share lies between 0 and 1, got {share}")

    def scan(self, state: State) -> Scan:
        """How this state is imaged."""
        return self.stress if state == "stress" else self.rest

    @property
    def nuclide(self) -> str:
        """What radiates in the site's tracer."""
        return "Tl-201" if self.tracer == "thallium" else "Tc-99m"

    @property
    def redistributes(self) -> bool:
        """Whether the later image shows what is left of the stress injection and not a second one."""
        return self.protocol == "stress-redistribution"

    def residual_MBq(self, state: State) -> float:
        """Injected for the other state and not yet decayed when this state's dose is given, MBq.

        A one-day protocol leaves `HOURS_BETWEEN_DOSES`; after two days nothing counts any more, and what is
        injected once has no other dose.
        """
        first: State = "stress" if self.protocol == "one-day stress-rest" else "rest"
        if self.protocol in ("two-day", "stress-redistribution") or state == first:
            return 0.0
        return float(self.scan(first).dose_MBq * share_left(self.nuclide, HOURS_BETWEEN_DOSES * 3600))

    def with_tracer(self, tracer: Tracer) -> Site:
        """The same centre with another tracer.

        The technetium tracers take the centre's own protocol. Thallium comes with its own: one injection under stress,
        an image from ten minutes on, and another after three and a half hours of redistribution in the place of rest.
        Its dose and times are ordinary ones, assumed; the camera looks as long as before.

        Raises
        ------
        InvalidValue
            There is no such tracer, or a thallium centre is asked for technetium.
        """
        if tracer not in get_args(Tracer):
            raise InvalidValue(f"a tracer is {', '.join(get_args(Tracer))}, not {tracer!r}")
        if tracer == self.tracer:
            return self
        if self.redistributes:
            raise InvalidValue(f"site {self.name} injects thallium once; take the centre itself for {tracer}")
        if tracer != "thallium":
            return replace(self, tracer=tracer)
        return replace(
            self,
            tracer=tracer,
            protocol="stress-redistribution",
            stress=Scan(_THALLIUM_MBQ, 10.0, self.stress.duration_s),
            rest=Scan(_THALLIUM_MBQ, _REDISTRIBUTED_AFTER_MIN, self.rest.duration_s),
        )


_THALLIUM_MBQ, _REDISTRIBUTED_AFTER_MIN = 110.0, 210.0

# 0.33 and 0.30 cycles per 6.4 mm pixel: the presets most centres start from.
_PERFUSION_CUTOFF_PER_CM, _GATED_CUTOFF_PER_CM = 0.516, 0.469

_ALL = (
    Site(
        name="north",
        camera="conventional",
        has_ct=False,
        tracer="sestamibi",
        protocol="one-day stress-rest",
        stress=Scan(400.0, 30.0, 900.0),
        rest=Scan(1110.0, 45.0, 750.0),
        gates=8,
        positions=("supine", "prone"),
        reconstruction=SiteReconstruction("fbp", filter_order=5.0, filter_cutoff_per_cm=_PERFUSION_CUTOFF_PER_CM),
        gated_reconstruction=SiteReconstruction("fbp", filter_order=2.5, filter_cutoff_per_cm=_GATED_CUTOFF_PER_CM),
        share_women=0.48,
        age_mean_y=65.5,
        bmi_median_kg_m2=28.6,
        share_exercise=0.62,
        risk_logit=-0.10,
        referral_logit=0.0,
        readers=("A", "B"),
    ),
    Site(
        name="harbour",
        camera="conventional",
        has_ct=True,
        tracer="tetrofosmin",
        protocol="two-day",
        stress=Scan(740.0, 35.0, 1200.0),
        rest=Scan(740.0, 40.0, 1200.0),
        gates=8,
        positions=("supine",),
        reconstruction=SiteReconstruction(
            "osem", 4, 8, response=True, attenuation=True, scatter=True, filter_kind="gaussian", filter_fwhm_mm=8.0
        ),
        gated_reconstruction=SiteReconstruction("fbp", filter_order=2.5, filter_cutoff_per_cm=_GATED_CUTOFF_PER_CM),
        share_women=0.42,
        age_mean_y=67.5,
        bmi_median_kg_m2=29.6,
        share_exercise=0.43,
        risk_logit=0.25,
        referral_logit=0.20,
        readers=("B", "C"),
    ),
    Site(
        name="hillside",
        camera="multi-pinhole-czt",
        has_ct=True,
        tracer="sestamibi",
        protocol="one-day stress-rest",
        stress=Scan(250.0, 30.0, 360.0),
        rest=Scan(600.0, 45.0, 180.0),
        gates=16,
        positions=("supine", "prone"),
        # A hybrid: its CT corrects single studies, while registries leave the second reconstruction out.
        # Looks like real images of such a camera (docs/validation/realism.md): restrained by a prior, not by a filter.
        reconstruction=SiteReconstruction("osem", 30, 4, response=True, filter_kind="none", median_prior=0.45),
        gated_reconstruction=SiteReconstruction(
            "auto", 10, 4, response=True, filter_order=7.0, filter_cutoff_per_cm=0.40, median_prior=0.6
        ),
        share_women=0.45,
        age_mean_y=64.5,
        bmi_median_kg_m2=30.6,
        share_exercise=0.53,
        risk_logit=0.0,
        referral_logit=-0.20,
        readers=("A", "D"),
    ),
    Site(
        name="riverside",
        camera="column-czt",
        has_ct=False,
        tracer="tetrofosmin",
        protocol="one-day rest-stress",
        stress=Scan(600.0, 20.0, 240.0),
        rest=Scan(200.0, 35.0, 480.0),
        gates=16,
        positions=("upright", "supine"),
        # Fewer updates leave the base blurred; the resolution that is published for such cameras is not reached.
        reconstruction=SiteReconstruction("osem", 10, 8, response=True, filter_kind="gaussian", filter_fwhm_mm=5.0),
        gated_reconstruction=SiteReconstruction(
            "auto", 10, 8, response=True, filter_kind="gaussian", filter_fwhm_mm=7.0
        ),
        share_women=0.50,
        age_mean_y=66.0,
        bmi_median_kg_m2=29.0,
        share_exercise=0.55,
        risk_logit=-0.05,
        referral_logit=0.0,
        readers=("C", "D"),
    ),
    Site(
        name="coast",
        camera="column-czt",
        has_ct=False,
        tracer="sestamibi",
        protocol="one-day stress-rest",
        stress=Scan(220.0, 30.0, 420.0),
        rest=Scan(650.0, 50.0, 240.0),
        gates=8,
        positions=("upright", "supine"),
        reconstruction=SiteReconstruction("osem", 8, 8, response=True, filter_kind="gaussian", filter_fwhm_mm=6.0),
        gated_reconstruction=SiteReconstruction(
            "auto", 8, 8, response=True, filter_kind="gaussian", filter_fwhm_mm=8.0
        ),
        share_women=0.44,
        age_mean_y=66.5,
        bmi_median_kg_m2=30.2,
        share_exercise=0.53,
        risk_logit=0.10,
        referral_logit=0.10,
        readers=("B", "E"),
        external=True,
    ),
)

SITES: Mapping[str, Site] = MappingProxyType({site.name: site for site in _ALL})
"""The five centres by name; ``external`` ones are kept out of training."""


def site_named(name: str) -> Site:
    """The centre of this name.

    Raises
    ------
    InvalidValue
        There is no such centre.
    """
    if name not in SITES:
        raise InvalidValue(f"there is no site {name!r}; there are {', '.join(SITES)}")
    return SITES[name]
