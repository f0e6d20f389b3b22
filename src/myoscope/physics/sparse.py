"""Sparse matrices that spread voxels over detector planes, and gather them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False, slots=True)
class SparseRows:
    """A sparse matrix by rows, for products with dense matrices of many columns.

    Row r holds ``weight[start[r]:start[r + 1]]`` in the columns ``index[...]``. The product sums weighted rows of
    the dense matrix as an embedding does, which on one CPU thread is several times faster than torch's product of
    compressed rows, and runs on a GPU as it is. A single column on a CPU goes through scipy, twice as fast again.
    """

    index: Tensor  # (entries,) int32
    start: Tensor  # (rows + 1,) int32
    weight: Tensor  # (entries,) float32

    def __matmul__(self, dense: Tensor) -> Tensor:
        """This matrix (rows, n) times a contiguous dense one (n, columns)."""
        import torch

        if dense.shape[1] == 1 and dense.device.type == "cpu":
            shape = (len(self.start) - 1, len(dense))
            rows = csr_array((self.weight.numpy(), self.index.numpy(), self.start.numpy()), shape=shape)
            return torch.from_numpy(rows @ dense.detach().numpy()[:, 0])[:, None]
        # What torch.nn.functional.embedding_bag calls after checks that cost as much as a small product.
        sums: Tensor = torch.embedding_bag(
            dense,
            self.index,
            self.start,
            scale_grad_by_freq=False,
            mode=0,
            sparse=False,
            per_sample_weights=self.weight,
            include_last_offset=True,
        )[0]
        return sums

    def to(self, device: str | torch.device) -> SparseRows:
        return SparseRows(self.index.to(device), self.start.to(device), self.weight.to(device))


def transposed(matrix: SparseRows, n_columns: int) -> SparseRows:
    """The transpose of a matrix of this many columns, on the CPU."""
    import torch

    shape = (len(matrix.start) - 1, n_columns)
    columns = csr_array((matrix.weight.numpy(), matrix.index.numpy(), matrix.start.numpy()), shape=shape).tocsc()
    return SparseRows(
        torch.from_numpy(columns.indices), torch.from_numpy(columns.indptr), torch.from_numpy(columns.data)
    )


def sparse_rows(row: NDArray[Any], column: NDArray[Any], weight: NDArray[Any], n_rows: int) -> SparseRows:
    """A sparse matrix from its entries in any order; entries of weight zero are left out."""
    import torch

    used = weight != 0
    row, column, weight = row[used], column[used], weight[used]
    order = np.argsort(row, kind="stable")
    start = np.zeros(n_rows + 1, dtype=np.int32)
    np.cumsum(np.bincount(row, minlength=n_rows), out=start[1:])
    return SparseRows(
        torch.from_numpy(column[order].astype(np.int32)),
        torch.from_numpy(start),
        torch.from_numpy(weight[order].astype(np.float32)),
    )
