"""The dashboards: `boards/` says what they ask, and `python -m grafana` writes the files that Grafana loads."""
