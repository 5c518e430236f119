"""Where activations are kept, and how they are looked up.

``sink`` stores what caching hooks see, as their options say; ``activation_cache`` is the dict that users get, ``lookup`` its
short keys.

Door: ``ActivationCache``, ``CacheSink``, ``CacheOptions``, ``find_short``, ``bytes_of``. Imports ``torch_compat`` and
``values``.
"""
