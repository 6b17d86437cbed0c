"""Random kills and outages of every part, under load through all doors."""
