"""What is done to a trained network, or to its input."""
