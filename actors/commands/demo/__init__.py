"""`heyday demo`: shows a day around the world in a minute, with private servers in `.heyday/`."""
