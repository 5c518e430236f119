"""The hook manager: hook points, the root module, caching. Needs torch; knows nothing of plugins or policy."""
