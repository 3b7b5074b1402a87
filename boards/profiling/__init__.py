"""Profiles of what models cost on a board: measured, written as JSON, shown as a page."""
