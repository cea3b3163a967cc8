"""`heyday import`: users from a file, through the API."""
