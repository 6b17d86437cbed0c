"""Replays: recorded events run again on the candidate, compared with the recorded runs of legacy."""
