"""Weights on disk: safetensors with a hash that loading checks, and the same network as an ONNX graph.

Weights are stored as float16, half the size; a network is compared with what was stored, never with what it was
before rounding, so the file, the graph and the figures in a model card are about the same numbers.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from myoscope.core import InvalidValue, MyoscopeError

if TYPE_CHECKING:
    from torch import nn

_OPSET = 18


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_weights(network: nn.Module, path: Path) -> str:
    """Store the weights as float16 safetensors and round the network's own to match; gives the file's sha256."""
    import torch
    from safetensors.torch import save_file

    state = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()}
    beyond = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if beyond:
        raise InvalidValue(f"weights of {beyond[0]} do not fit float16; the training has probably diverged")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(state, str(part))
    part.replace(path)
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return file_sha256(path)


def load_weights(network: nn.Module, path: Path, *, sha256: str) -> None:
    """Put stored weights into a network of the same design.

    Raises
    ------
    MyoscopeError
        If the file is not the one whose hash was promised.
    """
    from safetensors.torch import load_file

    require_hash(path, sha256)
    network.load_state_dict({name: value.float() for name, value in load_file(str(path)).items()})


def _example(inputs: Mapping[str, tuple[int, ...]], n_first: int, *, one_batch: bool) -> dict[str, NDArray[np.float32]]:
    """Random inputs; each of its own batch size unless all share one."""
    rng = np.random.default_rng(0)
    return {
        name: rng.random((n_first if one_batch else n_first + i, *shape), dtype=np.float32)
        for i, (name, shape) in enumerate(inputs.items())
    }


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter by tracing says that it is the older one, and that sizes it sees become constants."""
    from torch.jit._trace import TracerWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", TracerWarning)
        yield


def require_hash(path: Path, sha256: str) -> None:
    """Refuse a file that is not the one whose hash was promised."""
    actual = file_sha256(path)
    if actual != sha256:
        raise MyoscopeError(
            f"{path.name} is not the file that was promised (sha256 starts {actual[:12]}, expected {sha256[:12]}); "
            "fetch it again"
        )


def export_onnx(
    network: nn.Module,
    path: Path,
    *,
    inputs: Mapping[str, tuple[int, ...]],
    output_names: tuple[str, ...],
    one_batch: bool = False,
) -> str:
    """Write a network as one ONNX file whose batch size is free, and check that it answers as torch does.

    ``inputs`` are their names and shapes without the batch axis, in the order of the network; each has a batch size of
    its own, or with ``one_batch`` all share it. Weights lie in the file as float16 and are widened when the graph runs.
    Gives the file's sha256.

    Raises
    ------
    MyoscopeError
        If onnxruntime and torch differ by more than 0.001 in a logit.
    """
    import onnx
    import torch

    network = network.eval()
    traced, other = (_example(inputs, n_first, one_batch=one_batch) for n_first in (2, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    # By tracing: torch's newer exporter takes twenty times as long for networks as small as ours. What tracing gets
    # wrong (a size of the example taken for a constant) the comparison below would show, on a batch of another size.
    with _quiet_exporter(), torch.no_grad():
        torch.onnx.export(
            network,
            tuple(torch.from_numpy(value) for value in traced.values()),
            part,
            input_names=list(inputs),
            output_names=list(output_names),
            dynamic_axes={name: {0: "batch" if one_batch else f"{name}_batch"} for name in (*inputs, *output_names)},
            opset_version=_OPSET,
            dynamo=False,
        )
    model = onnx.load(part)
    _store_weights_as_half(model)
    _forget_where_it_was_made(model)
    onnx.checker.check_model(model)
    part.write_bytes(model.SerializeToString())
    with torch.no_grad():
        given = network(*(torch.from_numpy(value) for value in other.values()))
        expected = [value.numpy() for value in (given if isinstance(given, tuple) else (given,))]
    worst = max(float(np.abs(a - b).max()) for a, b in zip(run_onnx(part, other, output_names), expected, strict=True))
    if not worst < 1e-3:
        part.unlink()
        raise MyoscopeError(f"the exported network differs from the trained one by {worst:.2g} in a logit")
    part.replace(path)
    return file_sha256(path)


def run_onnx(
    path: Path, inputs: Mapping[str, NDArray[np.float32]], output_names: tuple[str, ...]
) -> list[NDArray[np.float32]]:
    """Answers of an exported network on one core."""
    return OnnxNetwork(path).answers(inputs, output_names)


class OnnxNetwork:
    """An exported network, kept open, on one core; ``sha256`` is checked where it is given.

    It is opened when it is first asked, which takes seconds for a large one: some studies are none of its business.

    Raises
    ------
    MyoscopeError
        If the file is not the one whose hash was promised.
    """

    def __init__(self, path: Path, *, sha256: str | None = None) -> None:
        if sha256 is not None:
            require_hash(path, sha256)
        self._path = path

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(str(self._path), options, providers=["CPUExecutionProvider"])

    def answers(
        self, inputs: Mapping[str, NDArray[np.float32]], output_names: tuple[str, ...]
    ) -> list[NDArray[np.float32]]:
        """One array per output, for a batch."""
        found: list[NDArray[np.float32]] = self._session.run(list(output_names), dict(inputs))
        return found


def _forget_where_it_was_made(model: object) -> None:
    """Remove the exporter's notes, which hold the paths of the machine's source files."""
    graph = model.graph  # type: ignore[attr-defined]
    for noted in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del noted.metadata_props[:]
        noted.doc_string = ""


def _store_weights_as_half(model: object) -> None:
    """Replace each large float32 constant of the graph by a float16 one and a cast back."""
    from onnx import helper, numpy_helper

    graph = model.graph  # type: ignore[attr-defined]
    casts = []
    for tensor in list(graph.initializer):
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.size < 64:
            continue
        name = tensor.name
        half = numpy_helper.from_array(value.astype(np.float16), f"{name}.half")
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
        casts.append(helper.make_node("Cast", [half.name], [name], name=f"{name}.widen", to=1))
    for cast in casts:
        graph.node.insert(0, cast)
