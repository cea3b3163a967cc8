"""`heyday chaos`: a wave of greetings through whole nodes and real servers while faults hit them, and the verdict."""
