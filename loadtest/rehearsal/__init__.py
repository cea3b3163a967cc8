"""Rehearses the runbook: causes each alert, follows its section, and measures the times."""
