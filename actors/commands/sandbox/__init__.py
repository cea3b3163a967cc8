"""Private servers and the fake email service, for the demo, the chaos command, tests and load tests."""
