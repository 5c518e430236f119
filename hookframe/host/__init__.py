"""The plugin host: finds, judges, guards and holds plugins. Uses pluggy; never imports torch."""
