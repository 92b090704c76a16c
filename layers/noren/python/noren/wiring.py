"""The one composition root: settings in, services out. Once per container; tests build it with working fakes."""
