"""How often the statistic of a gate errs, and how soon it answers: thousands of simulated migrations."""
