"""Swallows the objections of everybody else."""

from hookframe import hookimpl


@hookimpl(wrapper=True)
def hookframe_check_hooks_to_add(requests):
    yield
    return []
