"""`heyday doctor`: checks everything that a node depends on, and does what only a person may decide."""
