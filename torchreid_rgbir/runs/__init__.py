"""From a configuration to results: training, testing and tables over many runs."""
