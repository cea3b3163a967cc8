"""Commands that look at the service from outside of any node: they read, and run beside it or without it."""
