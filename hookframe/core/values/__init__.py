"""Small things that every room of the core uses: types, slices, texts, warnings, scopes, protocols.

``protocols`` declares what lower rooms use of points and models, so that imports go one way.

Door: all of its files. Imports no other room.
"""
