"""What each dashboard asks, a module a dashboard: `BOARD` is its JSON."""
