"""The rules about greetings, as values: no I/O, no clock, standard library and tzdata only."""
