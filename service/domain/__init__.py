"""What heyday knows about greetings, in values: no I/O, no clock, standard library and tzdata only."""
