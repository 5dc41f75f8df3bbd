"""Drop folders, local and on SFTP servers: which files wait there, their bytes, and where they go after reading."""
