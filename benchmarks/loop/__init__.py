"""How many events a second the whole loop takes, and where the CPU goes."""
