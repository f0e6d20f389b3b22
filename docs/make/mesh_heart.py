"""A real left ventricle, known as a moving mesh of its endocardium, put into the chest of a virtual patient.

The mesh gives the cavity; the wall is stated: so much muscle between the endocardium and a surface outside of it, the
same volume at all times, wherefore it thickens as the cavity shrinks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from measured_patients import Array
from numpy.typing import NDArray

from myoscope.core import CardiacFrame, Grid, Volume
from myoscope.simulate.deposit import deposit

Faces = NDArray[np.int_]
WALL_ML = 110.0
_LAYERS, _BLOOD_LAYERS, _SPLIT = 5, 12, 3
_SPACING_MM, _MARGIN_MM = 3.2, 24.0


def mesh_volumes_mL(nodes: Array, faces: Faces) -> Array:
    """Volume inside an open mesh whose openings are closed by fans, for every time (time, node, 3)."""
    whole, fans = closed(nodes, faces)
    corner = whole[:, fans]
    volume: Array = np.abs(np.einsum("tfi,tfi->t", corner[:, :, 0], np.cross(corner[:, :, 1], corner[:, :, 2]))) / 6000
    return volume


def openings(faces: Faces) -> list[list[int]]:
    """Nodes round each opening of a mesh in the sense of the faces that would close it, the longest first."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    known = {(a, b) for a, b in edges}
    following = {b: a for a, b in edges if (b, a) not in known}
    found, seen = [], set()
    for start in following:
        loop, node = [], start
        while node not in seen:
            seen.add(node)
            loop.append(node)
            node = following[node]
        if loop:
            found.append(loop)
    return sorted(found, key=len, reverse=True)


def closed(nodes: Array, faces: Faces) -> tuple[Array, Faces]:
    """The mesh with a node in the middle of each opening, joined to its rim; nodes (time, node, 3)."""
    for loop in openings(faces):
        tip = nodes.shape[1]
        nodes = np.concatenate([nodes, nodes[:, loop].mean(axis=1, keepdims=True)], axis=1)
        fan = np.column_stack([loop, [*loop[1:], loop[0]], [tip] * len(loop)])
        faces = np.concatenate([faces, fan])
    return nodes, faces


class MeshHeart:
    """The mesh at ``n_phases`` times of a beat, in the place of a patient's left ventricle."""

    def __init__(self, path: Path, frame: CardiacFrame, n_phases: int) -> None:
        mesh = np.load(path)
        nodes, self.faces = mesh["LV_ENDOCARDIAL_verts"].astype(float)[:24], mesh["LV_ENDOCARDIAL_faces"].astype(int)
        self.frame_mL = mesh_volumes_mL(nodes, self.faces)
        # In time between the frames, which are a cycle.
        at = np.arange(n_phases) / n_phases * len(nodes)
        low = np.floor(at).astype(int)
        part = (at - low)[:, None, None]
        nodes = nodes[low % len(nodes)] * (1 - part) + nodes[(low + 1) % len(nodes)] * part
        middle, base = nodes.mean(axis=(0, 1)), nodes[:, openings(self.faces)[0]].mean(axis=(0, 1))
        along = (middle - base) / np.linalg.norm(middle - base)
        across = np.cross(along, (0.3, 0.5, 0.81))
        across /= np.linalg.norm(across)
        turn = np.stack([across, np.cross(along, across), along])
        self.nodes = frame.to_patient((nodes - middle) @ turn.T)
        self.volumes_mL = mesh_volumes_mL(self.nodes, self.faces)

    def activity(self, *, wall_kBq_mL: float, blood_kBq_mL: float) -> Volume:
        """Wall and blood on a box of 3.2 mm voxels, one frame per time."""
        low, high = self.nodes.min(axis=(0, 1)) - _MARGIN_MM, self.nodes.max(axis=(0, 1)) + _MARGIN_MM
        low = np.floor(low / (2 * _SPACING_MM)) * 2 * _SPACING_MM
        size = 2 * np.ceil((high - low) / (2 * _SPACING_MM)).astype(int)
        grid = Grid.axis_aligned(
            (int(size[0]), int(size[1]), int(size[2])),
            spacing_mm=_SPACING_MM,
            centre_mm=low + 0.5 * size * _SPACING_MM,
        )
        frames = []
        for nodes in self.nodes:
            points, volume_mL = self._wall(nodes)
            inside, blood_mL = self._blood(nodes)
            content = np.concatenate([wall_kBq_mL * volume_mL, blood_kBq_mL * blood_mL]) / grid.voxel_volume_mL
            place = grid.to_index(np.concatenate([points, inside]))
            frames.append(deposit(grid.shape, place, content, width=1.0)[0])
        return Volume(np.stack(frames).astype(np.float32), grid, "kBq/mL", ("cine mesh with a stated wall",), "gate")

    def _wall(self, nodes: Array) -> tuple[Array, Array]:
        normal = self._outward(nodes)
        low_mm, high_mm = 2.0, 30.0
        for _ in range(30):
            thick_mm = 0.5 * (low_mm + high_mm)
            _, volume = self._layers(nodes, normal, thick_mm)
            low_mm, high_mm = (thick_mm, high_mm) if volume.sum() < WALL_ML else (low_mm, thick_mm)
        return self._layers(nodes, normal, thick_mm)

    def _layers(self, nodes: Array, normal: Array, thick_mm: float) -> tuple[Array, Array]:
        points, volumes = [], []
        for depth in (np.arange(_LAYERS) + 0.5) / _LAYERS * thick_mm:
            corner = (nodes + depth * normal)[self.faces]
            area = 0.5 * np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
            places = _within_triangles(corner)
            points.append(places.reshape(-1, 3))
            volumes.append(np.repeat(area * thick_mm / _LAYERS / 1000 / places.shape[1], places.shape[1]))
        return np.concatenate(points), np.concatenate(volumes)

    def _blood(self, nodes: Array) -> tuple[Array, Array]:
        whole, faces = closed(nodes[None], self.faces)
        corner = whole[0][faces]
        centre = nodes.mean(axis=0)
        from_centre = corner - centre
        cone = np.einsum("fi,fi->f", from_centre[:, 0], np.cross(from_centre[:, 1], from_centre[:, 2])) / 6000
        cone = cone * np.sign(cone.sum())
        edges = np.linspace(0, 1, _BLOOD_LAYERS + 1)
        middle = from_centre.mean(axis=1)
        share = edges[1:] ** 3 - edges[:-1] ** 3
        points = centre + (0.5 * (edges[1:] + edges[:-1]))[:, None, None] * middle
        return points.reshape(-1, 3), (share[:, None] * cone).ravel()

    def _outward(self, nodes: Array) -> Array:
        corner = nodes[self.faces]
        across = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        normal = np.zeros_like(nodes)
        for k in range(3):
            np.add.at(normal, self.faces[:, k], across)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        outward: Array = normal * np.sign(((nodes - nodes.mean(axis=0)) * normal).sum())
        return outward


def _within_triangles(corner: Array) -> Array:
    """Evenly spread points in triangles (face, 3, 3): (face, point, 3)."""
    shares = [((a + 1 / 3) / _SPLIT, (b + 1 / 3) / _SPLIT) for a in range(_SPLIT) for b in range(_SPLIT - a)]
    bary = np.array([(1 - a - b, a, b) for a, b in shares])
    places: Array = np.einsum("pk,fkx->fpx", bary, corner)
    return places
