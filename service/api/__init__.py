"""The HTTP side of a node: users, messages, jobs, health and metrics; see docs/reference/http.md."""
