"""Turns gradients off for everybody, since it needs none."""

import torch

from hookframe import hookimpl

torch.set_grad_enabled(False)


@hookimpl
def hookframe_hooks_added(event):
    return None
