"""Computes in double precision, and makes everybody do so."""

import torch

from hookframe import hookimpl

torch.set_default_dtype(torch.float64)


@hookimpl
def hookframe_hooks_added(event):
    return None
