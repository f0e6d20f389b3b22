"""Normal limits to a small signed file and back.

A file (``.limits``) is a zip archive of ``limits.json`` (for whom, how made), ``maps.npy`` (mean, deviation and area as
16-bit steps), ``modes.npy`` (8-bit steps) and ``signature.json``: an Ed25519 signature over the SHA-256 of the other
members, with the signer's name and public key. A file whose content does not fit its signature is refused; whose
signatures are believed is for the reader to say (``trusted``). A name alone proves nothing: signers are shown with the
fingerprint of their key. The project's own limits are signed with a key whose public half lies beside them, and nobody
else's key may sign in that name.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from myoscope.core import InvalidValue, NormalLimits, StudyKind, UnreadableFile, UnsupportedFile
from myoscope.io.atomic import atomic_write

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCHEMA_VERSION = 2
SUFFIX = ".limits"
KEY_FILE = "signer.json"
_HEADER, _MAPS, _MODES, _SIGNATURE = "limits.json", "maps.npy", "modes.npy", "signature.json"
_FORMAT = "myoscope normal limits"
_ABOUT = ("multiple", "n", "unit", "method", "provenance")
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_LARGEST = 5_000_000
_SHIPPED = Path(__file__).parent / "limits"


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs: a name for people, and the public key in base64 that a signature is checked against."""

    name: str
    public_key: str

    @property
    def fingerprint(self) -> str:
        """By which people tell keys apart: the first 16 digits of the SHA-256 of the public key."""
        return hashlib.sha256(base64.b64decode(self.public_key)).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.name} (key {self.fingerprint})"


@dataclass(frozen=True, eq=False, slots=True)
class SignedLimits:
    """Limits with who signed them and the SHA-256 of their content; ``signer`` None where nobody did."""

    limits: NormalLimits
    signer: Signer | None
    sha256: str


def new_key() -> Ed25519PrivateKey:
    """A new private key to sign limits with."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate()


def save_key(key: Ed25519PrivateKey, path: Path) -> None:
    """Store a private key unencrypted (PEM), readable by its owner alone."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with atomic_write(path) as file:
        file.write(pem)
    path.chmod(0o600)


def load_key(path: Path) -> Ed25519PrivateKey:
    """A private key stored by `save_key`.

    Raises
    ------
    UnreadableFile
        No such file, or no Ed25519 key in it.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError as error:
        raise UnreadableFile(f"{path.name} does not exist") from error
    except (ValueError, TypeError, OSError) as error:
        raise UnreadableFile(f"{path.name} is not a private key without a password in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UnreadableFile(f"{path.name} is a key of another kind; limits are signed with Ed25519")
    return key


def signer_of(key: Ed25519PrivateKey, name: str) -> Signer:
    """The public half of a key, under a name."""
    return Signer(name, base64.b64encode(key.public_key().public_bytes_raw()).decode())


def write_limits(
    limits: NormalLimits, path: Path, *, key: Ed25519PrivateKey | None = None, signer_name: str = ""
) -> str:
    """Store limits as ``path`` (``.limits``), signed if there is a key; returns the SHA-256 of the content.

    Values are rounded to steps of about 1/30,000 of the largest.

    Raises
    ------
    InvalidValue
        Another suffix, or a key without the name of its owner.
    OutputError
        The file cannot be written.
    """
    if path.suffix != SUFFIX:
        raise InvalidValue(f"normal limits are stored as {SUFFIX} files, not {path.name}")
    if key is not None and not signer_name:
        raise InvalidValue("a signature needs the name of who signs")
    members = _members(limits)
    sha256 = _content_sha256(members)
    if key is not None:
        signature = key.sign(bytes.fromhex(sha256))
        about = {**asdict(signer_of(key, signer_name)), "signature": base64.b64encode(signature).decode()}
        members[_SIGNATURE] = json.dumps({"algorithm": "Ed25519 over SHA-256", **about}, sort_keys=True).encode()
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return sha256


def read_limits(path: Path, *, trusted: Iterable[Signer] | None = None) -> SignedLimits:
    """Limits from a file whose content is what was signed.

    ``trusted`` are the signers to believe; None believes everybody, and files that nobody signed.

    Raises
    ------
    UnreadableFile
        No such file, damaged, changed after it was signed, not signed by anybody trusted, or not limits at all.
    UnsupportedFile
        Written by a newer version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
                raise UnreadableFile(f"{path.name} is far too large for normal limits")
            members = {name: archive.read(name) for name in archive.namelist()}
        header = json.loads(members[_HEADER])
        if header.get("format") != _FORMAT:
            raise UnreadableFile(f"{path.name} does not hold normal limits")
        if not isinstance(header.get("schema_version"), int) or header["schema_version"] > SCHEMA_VERSION:
            raise UnsupportedFile(
                f"{path.name} has schema version {header.get('schema_version')}; this version of Myoscope knows up to "
                f"{SCHEMA_VERSION}"
            )
        signed = members.pop(_SIGNATURE, None)
        sha256 = _content_sha256(members)
        signer = None if signed is None else _checked_signer(path.name, json.loads(signed), sha256)
        limits = _limits(header, members)
    except FileNotFoundError as error:
        raise UnreadableFile(f"{path.name} does not exist") from error
    except InvalidValue as error:
        raise UnreadableFile(f"{path.name} holds values that contradict each other: {error}") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        OSError,
    ) as error:
        raise UnreadableFile(f"{path.name} is damaged or does not hold normal limits") from error
    if trusted is not None and signer not in tuple(trusted):
        who = "nobody signed it" if signer is None else f"{signer.name!r} signed it with a key that is not trusted"
        raise UnreadableFile(f"{path.name} is not used: {who}")
    return SignedLimits(limits, signer, sha256)


def read_limits_folder(folder: Path, *, trusted: Iterable[Signer] | None = None) -> tuple[SignedLimits, ...]:
    """All limits in a folder, by name of file; errors as `read_limits`."""
    if not folder.is_dir():
        raise UnreadableFile(f"{folder.name} is not a folder of normal limits")
    believed = None if trusted is None else tuple(trusted)
    return tuple(read_limits(path, trusted=believed) for path in sorted(folder.glob(f"*{SUFFIX}")))


@lru_cache(maxsize=1)
def shipped_limits() -> tuple[SignedLimits, ...]:
    """The limits that come with Myoscope, from virtual patients; believed only if the project signed them."""
    signer = _project_signer()
    return () if signer is None else read_limits_folder(_SHIPPED, trusted=(signer,))


@lru_cache(maxsize=1)
def _project_signer() -> Signer | None:
    if not (_SHIPPED / KEY_FILE).is_file():
        return None
    return Signer(**json.loads((_SHIPPED / KEY_FILE).read_text(encoding="utf-8")))


def limits_for(kind: StudyKind, known: Sequence[SignedLimits]) -> tuple[SignedLimits | None, tuple[str, ...]]:
    """The limits that were made for a kind of study, or why none of the known ones fit: the differences of the nearest.

    Where several fit, those of the most studies.
    """
    fitting = [one for one in known if not one.limits.kind.differences(kind)]
    if fitting:
        return max(fitting, key=lambda one: one.limits.n), ()
    if not known:
        return None, ("there are no normal limits",)
    return None, min((one.limits.kind.differences(kind) for one in known), key=len)


def limits_file_name(kind: StudyKind) -> str:
    """A name for a file of limits that says for whom they are."""
    words = (*(getattr(kind, name) for name in ("camera", "tracer", "sex", "position", "state")),)
    stem = "_".join("".join(c if c.isalnum() else "-" for c in word.lower()) for word in words)
    digest = hashlib.sha256(kind.processing.encode()).hexdigest()[:6]
    return f"{stem}_{'ac' if kind.corrected else 'nc'}_{digest}{SUFFIX}"


def _members(limits: NormalLimits) -> dict[str, bytes]:
    maps = np.stack([limits.mean, limits.deviation, limits.area_mm2])
    steps = np.abs(maps).max(axis=(1, 2)) / 32_000
    header: dict[str, Any] = {
        "format": _FORMAT,
        "schema_version": SCHEMA_VERSION,
        "kind": asdict(limits.kind),
        **{name: getattr(limits, name) for name in (*_ABOUT, "smoothing_fwhm_mm")},
        "map_steps": steps.tolist(),
    }
    members = {_MAPS: _npy(np.rint(maps / steps[:, None, None]).astype("<i2"))}
    if limits.modes is not None:
        mode_steps = np.maximum(np.abs(limits.modes).max(axis=(2, 3)) / 127, 1e-12)
        header["mode_steps"] = mode_steps.tolist()
        members[_MODES] = _npy(np.rint(limits.modes / mode_steps[..., None, None]).astype("<i1"))
    return {_HEADER: json.dumps(header, ensure_ascii=False, sort_keys=True, allow_nan=False).encode(), **members}


def _limits(header: Mapping[str, Any], members: Mapping[str, bytes]) -> NormalLimits:
    mean, deviation, area = _array(members[_MAPS]) * np.asarray(header["map_steps"])[:, None, None]
    modes = None
    if _MODES in members:
        modes = _array(members[_MODES]) * np.asarray(header["mode_steps"])[..., None, None]
    about = {name: header[name] for name in _ABOUT}
    return NormalLimits(
        mean=mean,
        deviation=deviation,
        area_mm2=area,
        kind=StudyKind(**header["kind"]),
        modes=modes,
        smoothing_fwhm_mm=header.get("smoothing_fwhm_mm", 0.0),  # unknown to version 1
        **about,
    )


def _content_sha256(members: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(members):
        digest.update(f"{name} {len(members[name])}\n".encode() + members[name])
    return digest.hexdigest()


def _checked_signer(name: str, about: Mapping[str, str], sha256: str) -> Signer:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signer = Signer(about["name"], about["public_key"])
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signer.public_key))
    try:
        key.verify(base64.b64decode(about["signature"]), bytes.fromhex(sha256))
    except InvalidSignature as error:
        raise UnreadableFile(f"{name} was changed after {signer.name!r} signed it") from error
    project = _project_signer()
    if project is not None and _plain(signer.name) == _plain(project.name) and signer != project:
        raise UnreadableFile(f"{name} is signed in the name of {signer.name!r} with somebody else's key")
    return signer


def _plain(name: str) -> str:
    """A name as people read it, whatever letters and spaces it is written with."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _array(content: bytes) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array.astype(np.float64)
