"""`heyday demo`: 09:00 travels around the world in a minute, on servers of its own, for everybody to watch."""
