"""Load and stress scenarios: API traffic by locust, exhausted limits, and a verdict for each scenario."""
