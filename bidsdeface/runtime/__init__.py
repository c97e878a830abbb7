"""Worker processes, and folders that nobody else can read."""
