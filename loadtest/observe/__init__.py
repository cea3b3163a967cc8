"""Lets a real Prometheus watch real nodes in trouble, and holds dashboards and alerts against what it saw."""
