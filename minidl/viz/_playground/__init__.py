"""The playground: a network that trains while its page shows it."""
