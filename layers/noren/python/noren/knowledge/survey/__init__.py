"""Looking a site over before it is trained: what it lists, a sample of it read, what all would come to."""
