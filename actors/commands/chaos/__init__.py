"""`heyday chaos`: sends a wave of greetings through real nodes and servers, injects faults, and checks the result."""
