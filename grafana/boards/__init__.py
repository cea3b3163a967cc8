"""One module per dashboard; `BOARD` is its JSON."""
