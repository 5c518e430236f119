"""Where activations are kept, and how they are looked up.

``activation_cache`` is the dict that users get, ``lookup`` its short keys. A value that is stored as it is goes into that dict
straight from ``hooks.caching``; ``sink`` stores all others: on another device, sliced, copied, or from compiled code.

Door: ``ActivationCache``, ``CacheSink``, ``CacheOptions``, ``find_short``, ``bytes_of``. Imports ``torch_compat`` and
``values``.
"""
