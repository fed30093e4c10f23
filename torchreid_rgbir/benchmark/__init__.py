"""Speed, both sides of each ratio measured in one run."""
