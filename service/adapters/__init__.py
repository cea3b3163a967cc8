"""One external system each, translated at the border into the words of `service.ports`."""
