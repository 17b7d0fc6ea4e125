"""Formats, not meanings: each reader turns files into text frames and rows it could not take."""
