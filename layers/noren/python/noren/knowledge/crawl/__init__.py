"""Reading a public site politely: robots, sitemaps, scope, one guarded visit at a time. No storage, no queues."""
