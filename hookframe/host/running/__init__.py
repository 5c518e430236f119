"""Plugins at work: imported, registered, guarded, isolated, and asked by the manager, which is the controller of a process.

Door: ``manager.PluginManager``, ``using.use_plugins``, ``loading.load_installed``, ``inspection``, ``treatment``. Imports
:mod:`hookframe.host.installed`.
"""
