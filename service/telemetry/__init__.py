"""What heyday tells the people who run it: metrics and logs. No name, address or text of a greeting goes there."""
