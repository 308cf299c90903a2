"""What fit does between its checks and its end: steps, epochs, and the hooks of callbacks."""
