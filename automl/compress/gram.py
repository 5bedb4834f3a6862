"""The product of a matrix with itself, of which only half needs to be computed."""

import torch
from torch import Tensor


def gram(rows: Tensor) -> Tensor:
    """`rows.T @ rows`, of shape `(columns, columns)`, for `rows` of shape `(rows, columns)`."""
    if rows.device.type != "cpu" or torch.get_num_threads() > 1:
        # Two pools of threads, torch's and numpy's, would wait for each other at the cost of both.
        return rows.T @ rows
    # numpy sees that both factors are one matrix and asks BLAS for `syrk`; torch does all of the work.
    values = rows.numpy()
    return torch.from_numpy(values.T @ values)
