"""A family whose packages write a file as they are imported, where none can be written."""

raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")
