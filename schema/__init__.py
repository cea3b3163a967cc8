"""The numbered SQL files that make the database: append-only, applied in order by `heyday migrate`."""
