"""Weights of the published programs, in and out."""
