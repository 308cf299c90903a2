"""The gallery: the pictures of the article, each drawn from real runs by a function of its own."""
