"""Noise, learned and reviewed: rules that are proposed from what differs without meaning anything."""
