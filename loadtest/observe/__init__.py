"""Checks dashboards and alerts with a real Prometheus that watches real nodes during faults."""
