"""The dashboards: `boards/` defines them, and `python -m grafana` writes the files that Grafana loads."""
