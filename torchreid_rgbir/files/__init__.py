"""Files that are written completely or not at all: checkpoints, downloads, archives, and locks between processes."""
