"""The work of the sync: runs, rejections, and what is known about each source."""
