"""Web sites for tests and benches: a real server on 127.0.0.1, generated sites, hostile ones."""
