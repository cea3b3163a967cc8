"""Load and stress: traffic of the API made by locust, limits that are reached, and a verdict for each scenario."""
