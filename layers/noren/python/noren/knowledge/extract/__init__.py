"""From the bytes of a page or file to its text: pure, bounded, no network."""
