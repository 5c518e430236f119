"""Hook points that need no look-up in the table of their parent's children.

``self.hook_q`` on a torch module is found by ``nn.Module.__getattr__``, after everything else has failed: several times
what calling an idle hook point costs. So ``setup()`` puts each point into its parent's own ``__dict__`` as well. Assigning
another module there takes it out again, as torch has it; after ``del`` or a change in ``_modules`` the next operation does.
"""

from __future__ import annotations

from torch import nn

from hookframe.core.hook_point import HookPoint

__all__ = ["pin_points"]


def pin_points(module: nn.Module) -> None:
    """Put the hook points among the children of ``module`` into its ``__dict__``; take out those that are no children now."""
    own, children = module.__dict__, module._modules
    for name in [name for name, value in own.items() if isinstance(value, HookPoint)]:
        if children.get(name) is not own[name]:
            del own[name]
    for name, child in children.items():
        if isinstance(child, HookPoint) and name.isidentifier() and not hasattr(type(module), name):
            own.setdefault(name, child)
