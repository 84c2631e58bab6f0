"""Slots and nginx as processes of this machine."""
