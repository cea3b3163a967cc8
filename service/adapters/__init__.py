"""One package per external system. Each adapter translates errors and values into those of `service.ports`."""
