"""A soak against an outside model: edits through the public API, moving business time, and who must be greeted when."""
